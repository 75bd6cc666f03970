package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/internal/exampletest"
)

var typedDir = filepath.Join(nodeDir, "typed")

// The committed types are those of the hub.
func TestTypeScriptIsUpToDate(t *testing.T) {
	var got bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-typescript"}, &got))
	want, err := os.ReadFile(filepath.Join(typedDir, "hub.ts"))
	require.NoError(t, err)
	require.Equal(t, string(want), got.String(), "write it with: go run ./examples/hub -typescript >examples/hub/testdata/node/typed/hub.ts")
}

// tsc compiles a program with a line of each kind that the types allow, checks that the lines that they forbid do not
// compile, and the program runs with a hub in both protocols.
func TestTypeScript(t *testing.T) {
	path := node(t)
	modules := exampletest.Modules(t, nodeDir, "typescript")
	dir := t.TempDir() // outside of testdata, with the same modules
	require.NoError(t, os.Symlink(modules, filepath.Join(dir, "node_modules")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "package.json"), []byte(`{"type":"module"}`), 0o600))
	out, err := exec.CommandContext(t.Context(), path, filepath.Join(modules, "typescript", "bin", "tsc"), "-p", typedDir, "--outDir", dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
	url := serveTestHubs(t)
	for _, protocol := range []string{"json", "messagepack"} {
		out, err := exec.CommandContext(t.Context(), path, filepath.Join(dir, "use.js"), url, protocol).CombinedOutput()
		require.NoError(t, err, "%s: %s", protocol, out)
		require.Equal(t, "done\n", string(out), protocol)
	}
}

// tsc accepts the golden files of wsmanager/hub, which have types of all kinds.
func TestTypeScriptOfOddTypes(t *testing.T) {
	path := node(t)
	modules := exampletest.Modules(t, nodeDir, "typescript")
	golden, err := filepath.Glob(filepath.Join("..", "..", "wsmanager", "hub", "testdata", "typescript", "*.ts"))
	require.NoError(t, err)
	require.NotEmpty(t, golden)
	dir := t.TempDir()
	require.NoError(t, os.Symlink(modules, filepath.Join(dir, "node_modules")))
	args := []string{
		filepath.Join(modules, "typescript", "bin", "tsc"), "--noEmit", "--strict", "--skipLibCheck", "--noUnusedLocals", "--exactOptionalPropertyTypes",
		"--target", "es2022", "--lib", "es2022,dom", "--module", "esnext", "--moduleResolution", "bundler", "--verbatimModuleSyntax",
	}
	for _, name := range golden {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		copied := filepath.Join(dir, filepath.Base(name))
		require.NoError(t, os.WriteFile(copied, text, 0o600))
		args = append(args, copied)
	}
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
}
