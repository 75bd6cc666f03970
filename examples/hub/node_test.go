package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/internal/exampletest"
)

var (
	nodeDir  = filepath.Join("testdata", "node")
	official = []string{"@microsoft/signalr", "@microsoft/signalr-protocol-msgpack"}
)

// node finds Node.js and wants the official clients installed.
func node(t *testing.T) string {
	t.Helper()
	return exampletest.Node(t, nodeDir, official...)
}

// The official JavaScript clients use the hub, and all that it does with them is what
// the protocol says. Numbers are those of a conformance checklist: what the suites don't
// have, other clients or no client shows, and is tested in wsmanager/hub.
func TestNode(t *testing.T) {
	path := node(t)
	for _, suite := range []struct {
		script, protocol string
		atLeast          int // tests: a script that ends early has fewer
	}{
		{"client.mjs", "json", 45},
		{"client.mjs", "messagepack", 46},
		{"results.mjs", "json", 14},
		{"results.mjs", "messagepack", 14},
		{"resume.mjs", "json", 7},
		{"resume.mjs", "messagepack", 7},
		{"raw.mjs", "json", 17},
		{"raw.mjs", "messagepack", 17},
	} {
		t.Run(strings.TrimSuffix(suite.script, ".mjs")+"/"+suite.protocol, func(t *testing.T) {
			t.Parallel() // they wait most of the time
			n := 0
			for _, r := range runNode(t, path, suite.script, serveTestHubs(t), suite.protocol) {
				n++
				t.Run(r.Name, func(t *testing.T) {
					if r.Error != "" {
						t.Error(r.Error)
					}
				})
			}
			require.GreaterOrEqual(t, n, suite.atLeast)
		})
	}
}

// result is a line that a script prints for each of its tests.
type result struct {
	Name  string `json:"name"`
	Error string `json:"error"`
}

func runNode(t *testing.T, path string, args ...string) []result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = nodeDir
	return runSuite(t, cmd)
}

// runSuite runs a program that prints its results.
func runSuite(t *testing.T, cmd *exec.Cmd) []result {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s\n%s", out, &stderr)
	var results []result
	for sc := bufio.NewScanner(bytes.NewReader(out)); sc.Scan(); {
		var r result
		require.NoError(t, json.Unmarshal(sc.Bytes(), &r), sc.Text())
		results = append(results, r)
	}
	return results
}

// 41. The program ends and begins again: the client, who is told, comes back by itself.
func TestNodeSeesARestart(t *testing.T) {
	path := node(t)
	for _, protocol := range []string{"json", "messagepack"} {
		t.Run(protocol, func(t *testing.T) {
			first := start(t, "127.0.0.1:0")
			cmd := exec.CommandContext(t.Context(), path, "restart.mjs", first.URL, protocol)
			cmd.Dir = nodeDir
			var out exampletest.Output
			cmd.Stdout, cmd.Stderr = &out, &out
			require.NoError(t, cmd.Start())
			out.WaitFor(t, "connected\n")
			first.Stop()
			first.End(t)
			out.WaitFor(t, "reconnecting\n")
			start(t, strings.TrimPrefix(first.URL, "http://"))
			require.NoError(t, cmd.Wait(), out.String())
			require.Equal(t, "connected\nreconnecting\nreconnected\n", out.String())
		})
	}
}

// What the page uses is what the packages have, byte for byte.
func TestPageHasTheOfficialClient(t *testing.T) {
	dir := filepath.Join(exampletest.Modules(t, nodeDir, official...), "@microsoft")
	for ours, theirs := range map[string]string{
		"signalr.min.js":                       "signalr/dist/browser/signalr.min.js",
		"signalr.notices.txt":                  "signalr/src/third-party-notices.txt",
		"signalr-protocol-msgpack.min.js":      "signalr-protocol-msgpack/dist/browser/signalr-protocol-msgpack.min.js",
		"signalr-protocol-msgpack.notices.txt": "signalr-protocol-msgpack/src/third-party-notices.txt",
	} {
		want, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(theirs)))
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join("web", "signalr", ours))
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got), "web/signalr/%s is not %s", ours, theirs)
	}
	licence, err := os.ReadFile(filepath.Join("web", "signalr", "LICENSE.txt"))
	require.NoError(t, err)
	for _, name := range []string{"signalr", "signalr-protocol-msgpack"} {
		var p struct{ Version, License string }
		manifest, err := os.ReadFile(filepath.Join(dir, name, "package.json"))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(manifest, &p))
		require.Equal(t, "MIT", p.License)
		require.Contains(t, string(licence), "version "+p.Version)
	}
}
