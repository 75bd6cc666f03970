package main

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/internal/exampletest"
)

// The npm package ws as a client of the chat. To install it, run npm ci in testdata/node.
func TestNodeClient(t *testing.T) {
	dir := filepath.Join("testdata", "node")
	node := exampletest.Node(t, dir, "ws")
	s := start(t)
	cmd := exec.CommandContext(t.Context(), node, "talk.mjs", s.URL)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s\n%s", out, s.Out)
	require.Equal(t, "ok\n", string(out))
}
