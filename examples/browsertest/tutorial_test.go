package browsertest

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The tutorial's last program, unchanged except for its address: two people talk, and their
// connections close with 1001 at its shutdown.
func TestTutorial(t *testing.T) {
	b := browser(t)
	addr, stop := startTutorial(t, "07-drain")

	heard := func(list string) string {
		return fmt.Sprintf(`[...document.querySelectorAll("#messages li")].map(li => li.textContent).join("|") === %q`, list)
	}
	ann := openTab(t, b, "http://"+addr+"/?room=tea&name=Ann")
	await(t, ann, heard("Ann is here"))
	bob := openTab(t, b, "http://"+addr+"/?room=tea&name=Bob")
	await(t, bob, heard("Bob is here"))
	await(t, ann, heard("Ann is here|Bob is here"))
	typeMessage(t, bob, "<b>milk?</b>")
	await(t, bob, heard("Bob is here|Bob: <b>milk?</b>"))
	await(t, ann, heard("Ann is here|Bob is here|Bob: <b>milk?</b>"))

	stop()
	await(t, bob, heard("Bob is here|Bob: <b>milk?</b>|closed: 1001 "))
}

// startTutorial builds and runs a step at a free address instead of the fixed one. stop
// interrupts it and requires status 0.
func startTutorial(t *testing.T, step string) (addr string, stop func()) {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "tutorial", step))
	require.NoError(t, err)
	main := filepath.Join(dir, "main.go")
	text, err := os.ReadFile(main)
	require.NoError(t, err)
	const fixed = `"127.0.0.1:8080"`
	require.Equal(t, 1, strings.Count(string(text), fixed))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr = ln.Addr().String()
	require.NoError(t, ln.Close())

	tmp := t.TempDir()
	moved, overlay, bin := filepath.Join(tmp, "main.go"), filepath.Join(tmp, "overlay.json"), filepath.Join(tmp, "program")
	require.NoError(t, os.WriteFile(moved, []byte(strings.Replace(string(text), fixed, fmt.Sprintf("%q", addr), 1)), 0o600))
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {main: moved}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(overlay, replace, 0o600))
	build := exec.Command("go", "build", "-overlay", overlay, "-o", bin, ".")
	build.Dir = dir
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)

	cmd := exec.Command(bin)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has exited, or must exit now
	require.Eventually(t, func() bool {
		res, err := http.Get("http://" + addr + "/health")
		if err == nil {
			_ = res.Body.Close()
		}
		return err == nil
	}, patience, 10*time.Millisecond)
	return addr, func() {
		require.NoError(t, cmd.Process.Signal(os.Interrupt))
		require.NoError(t, cmd.Wait())
	}
}
