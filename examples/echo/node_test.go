package main

import (
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

// missing skips a test that needs what this machine does not have, or fails it
// where nothing may be skipped.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("SPEAKINGTUBE_REQUIRE_ALL") == "1" {
		t.Fatalf("%s, and SPEAKINGTUBE_REQUIRE_ALL is set", what)
	}
	t.Skip(what)
}
