package main

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The npm package ws talks to the echo with compression, in all the ways that it can
// offer. It has to be installed: npm ci in examples/chat/testdata/node.
func TestNodeClientWithCompression(t *testing.T) {
	dir := filepath.Join("..", "chat", "testdata", "node")
	node, err := exec.LookPath("node")
	if err != nil {
		missing(t, "Node.js is not installed (Debian: apt-get install nodejs npm)")
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "ws")); err != nil {
		missing(t, "the npm package ws is not installed: run npm ci in examples/chat/testdata/node")
	}
	p := start(t, "-compress")
	cmd := exec.CommandContext(t.Context(), node, "compress.mjs", p.url)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s\n%s", out, p.out)
	require.Equal(t, "ok\n", string(out))
}

// Node's HTTP/2 client, with the frames of the npm package ws, talks to the echo over
// streams of one connection, with TLS and without.
func TestNodeClientOverHTTP2(t *testing.T) {
	dir := filepath.Join("..", "chat", "testdata", "node")
	node, err := exec.LookPath("node")
	if err != nil {
		missing(t, "Node.js is not installed (Debian: apt-get install nodejs npm)")
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "ws")); err != nil {
		missing(t, "the npm package ws is not installed: run npm ci in examples/chat/testdata/node")
	}
	for _, tls := range []bool{false, true} {
		t.Run(map[bool]string{false: "h2c", true: "TLS"}[tls], func(t *testing.T) {
			var url string
			if tls {
				e, err := newEndpoints(slog.New(slog.DiscardHandler), config{}, nil)
				require.NoError(t, err)
				srv := httptest.NewUnstartedServer(e.app().MustBuild())
				srv.EnableHTTP2 = true
				srv.StartTLS()
				t.Cleanup(func() {
					for _, drain := range e.drains {
						require.NoError(t, drain(context.WithoutCancel(t.Context())))
					}
					srv.Close()
				})
				url = srv.URL
			} else {
				url = start(t, "-h2").url
			}
			cmd := exec.CommandContext(t.Context(), node, "h2.mjs", url)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.Equal(t, "ok\n", string(out))
		})
	}
}

// missing skips a test that needs what this machine does not have, or fails it
// where nothing may be skipped.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("SPEAKINGTUBE_REQUIRE_ALL") == "1" {
		t.Fatalf("%s, and SPEAKINGTUBE_REQUIRE_ALL is set", what)
	}
	t.Skip(what)
}
