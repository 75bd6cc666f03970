package main

import (
	"log/slog"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/internal/exampletest"
	"github.com/speakingtube/speakingtube/wsmanager"
)

// Python's websockets pings each second, and closes with 1011 if no pong arrives within
// two. It stays connected while OnMessage streams an answer for six seconds.
func TestPythonClientStaysWhileOnMessageStreams(t *testing.T) {
	python := exampletest.Python(t, "websockets", "python3-websockets")
	const parts = 60
	for _, driver := range []wsmanager.Driver{wsmanager.DriverAuto, wsmanager.DriverGoroutine} {
		t.Run(driver.String(), func(t *testing.T) {
			t.Parallel()
			closed := make(chan error, 1)
			m := wsmanager.MustNew(wsmanager.Callbacks{
				OnMessage: func(c *wsmanager.Conn, _ wsmanager.Message) error {
					every := time.NewTicker(100 * time.Millisecond)
					defer every.Stop()
					for range parts {
						<-every.C
						if err := c.Send(wsmanager.Text("part")); err != nil {
							return err
						}
					}
					return c.Send(wsmanager.Text("end"))
				},
				OnClose: func(_ *wsmanager.Conn, err error) { closed <- err },
			}, wsmanager.Options{Driver: driver, Logger: slog.New(slog.DiscardHandler)})
			srv := httptest.NewServer(m)
			defer srv.Close()
			cmd := exec.CommandContext(t.Context(), python, filepath.Join("testdata", "python", "stream.py"), "ws"+strings.TrimPrefix(srv.URL, "http"))
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.Equal(t, "60\n", string(out))
			require.NoError(t, <-closed)
			require.NoError(t, m.Shutdown(t.Context()))
		})
	}
}
