package main

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/internal/exampletest"
)

// The npm package ws as a client of the echo with compression, in all the ways that it can
// offer. To install it, run npm ci in examples/chat/testdata/node.
func TestNodeClientWithCompression(t *testing.T) {
	dir := filepath.Join("..", "chat", "testdata", "node")
	node := exampletest.Node(t, dir, "ws")
	p := start(t, "-compress")
	cmd := exec.CommandContext(t.Context(), node, "compress.mjs", p.URL)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s\n%s", out, p.Out)
	require.Equal(t, "ok\n", string(out))
}

// Node's HTTP/2 client, with the frames of the npm package ws, as a client of the echo over
// streams of one connection, with TLS and without.
func TestNodeClientOverHTTP2(t *testing.T) {
	dir := filepath.Join("..", "chat", "testdata", "node")
	node := exampletest.Node(t, dir, "ws")
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
				url = start(t, "-h2").URL
			}
			cmd := exec.CommandContext(t.Context(), node, "h2.mjs", url)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.Equal(t, "ok\n", string(out))
		})
	}
}
