package main

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/internal/exampletest"
	"github.com/speakingtube/speakingtube/wsmanager"
)

// Clients that are not ours answer Conn.Ping, send messages of any size in many fragments, and
// read 1008 when Accept.Expires has come.
func TestPeers(t *testing.T) {
	for name, command := range map[string]func(t *testing.T) *exec.Cmd{
		"npm ws": func(t *testing.T) *exec.Cmd {
			dir := filepath.Join("testdata", "node")
			cmd := exec.CommandContext(t.Context(), exampletest.Node(t, dir, "ws"), "peer.mjs")
			cmd.Dir = dir
			return cmd
		},
		"Python websockets": func(t *testing.T) *exec.Cmd {
			python := exampletest.Python(t, "websockets", "python3-websockets")
			return exec.CommandContext(t.Context(), python, filepath.Join("testdata", "python", "peer.py"))
		},
	} {
		for _, driver := range []wsmanager.Driver{wsmanager.DriverAuto, wsmanager.DriverGoroutine} {
			t.Run(name+" "+driver.String(), func(t *testing.T) {
				t.Parallel()
				cmd := command(t)
				s := exampletest.ServePeers(t, driver)
				cmd.Args = append(cmd.Args, s.URL)
				out, err := cmd.CombinedOutput()
				require.NoError(t, err, "%s", out)
				require.Equal(t, "ok\n", string(out))
				for range 3 {
					require.NoError(t, s.Ended(t))
				}
				require.ErrorIs(t, s.Ended(t), wsmanager.ErrExpired)
			})
		}
	}
}
