package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/internal/exampletest"
	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// server runs a program that prints its port and ends with its standard input, and returns
// its URL.
func server(t *testing.T, dir string, command ...string) string {
	t.Helper()
	var stderr exampletest.Output
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = dir
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = stdin.Close() // the program may have ended
		_, _ = io.Copy(io.Discard, stdout)
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("the server ended with %v\n%s", err, &stderr)
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err, "%s", &stderr)
	return "ws://127.0.0.1:" + strings.TrimSpace(line)
}

// peers are servers that are not ours, with the arguments that switch compression on.
func peers(t *testing.T) map[string]func(t *testing.T, args ...string) string {
	t.Helper()
	exampletest.Programs(t)
	return map[string]func(*testing.T, ...string) string{
		"npm ws": func(t *testing.T, args ...string) string {
			dir := filepath.Join("..", "chat", "testdata", "node")
			node := exampletest.Node(t, dir, "ws") // to install it, run npm ci there
			return server(t, dir, append([]string{node, "server.mjs"}, args...)...)
		},
		"Python websockets": func(t *testing.T, args ...string) string {
			python := exampletest.Python(t, "websockets", "python3-websockets")
			return server(t, "testdata", append([]string{python, "server.py"}, args...)...)
		},
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Our client receives its echoes from servers that are not ours.
func TestClientOfOtherServers(t *testing.T) {
	noise := make([]byte, 50_000)
	_, _ = rand.Read(noise) // never fails
	messages := []wsmanager.Message{
		wsmanager.Text(""), wsmanager.Text("x"), wsmanager.Text("hello, w\u00f6rld"), wsmanager.Text(strings.Repeat("again ", 10_000)),
		wsmanager.Binary(nil), wsmanager.Binary([]byte{0, 1, 255}), wsmanager.Binary(noise),
	}
	for name, start := range peers(t) {
		for _, compress := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, compress=%v", name, compress), func(t *testing.T) {
				t.Parallel()
				url := start(t, map[bool][]string{true: {"compress"}}[compress]...)
				for _, driver := range []wsmanager.Driver{wsmanager.DriverAuto, wsmanager.DriverGoroutine} {
					got, ended := make(chan wsmanager.Message, 1), make(chan error, 1)
					opts := wsmanager.DialOptions{Logger: quiet(), Driver: driver, Compression: wsmanager.Compression{Enabled: true}}
					opts.Handshake.Subprotocols = []string{"other", "chat"}
					d, err := wsmanager.NewDialer(url+"/echo", wsmanager.Callbacks{
						OnMessage: func(_ *wsmanager.Conn, m wsmanager.Message) error {
							got <- wsmanager.Message{Type: m.Type, Payload: bytes.Clone(m.Payload)}
							return nil
						},
						OnClose: func(_ *wsmanager.Conn, err error) { ended <- err },
					}, opts)
					require.NoError(t, err)
					c, err := d.Dial(t.Context())
					require.NoError(t, err)
					require.Equal(t, "chat", c.Subprotocol())
					for _, m := range messages {
						require.NoError(t, c.SendContext(t.Context(), m))
						echo := receive(t, got)
						require.Equal(t, m.Type, echo.Type)
						require.True(t, bytes.Equal(m.Payload, echo.Payload), "%d bytes", len(m.Payload))
					}
					require.NoError(t, c.Close(wsmanager.StatusNormalClosure, "done"))
					require.NoError(t, receive(t, ended))
					require.Equal(t, compress, d.Manager().Stats().Compressed.Accepted == 1)
					require.NoError(t, d.Manager().Shutdown(t.Context()))
				}
			})
		}
	}
}

// Pings and closes of servers that are not ours are answered.
func TestClientAnswersOtherServers(t *testing.T) {
	for name, start := range peers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := start(t)
			got, ended := make(chan string, 1), make(chan error, 1)
			cb := wsmanager.Callbacks{
				OnMessage: func(_ *wsmanager.Conn, m wsmanager.Message) error { got <- string(m.Payload); return nil },
				OnClose:   func(_ *wsmanager.Conn, err error) { ended <- err },
			}
			c, err := wsmanager.Dial(t.Context(), url+"/ping", cb, wsmanager.DialOptions{Logger: quiet()})
			require.NoError(t, err)
			require.Equal(t, "pong p", receive(t, got))
			require.NoError(t, c.Close(wsmanager.StatusNormalClosure, ""))
			require.NoError(t, receive(t, ended))

			_, err = wsmanager.Dial(t.Context(), url+"/bye", cb, wsmanager.DialOptions{Logger: quiet()})
			require.NoError(t, err)
			var ce *wsmanager.CloseError
			require.ErrorAs(t, receive(t, ended), &ce)
			require.Equal(t, wsmanager.StatusCode(4000), ce.Code)
			require.Equal(t, "bye", ce.Reason)
			require.True(t, ce.Remote)
		})
	}
}

// The answers that npm ws gives with odd headers, interim answers and redirects.
func TestClientOfOddAnswers(t *testing.T) {
	url := peers(t)["npm ws"](t)
	opts := wsmanager.DialOptions{Logger: quiet()}
	var header http.Header
	opts.Handshake.OnResponse = func(h http.Header) error { header = h; return nil }
	for _, path := range []string{"/hints", "/odd"} {
		c, err := wsmanager.Dial(t.Context(), url+path, wsmanager.Callbacks{}, opts)
		require.NoError(t, err, path)
		require.NoError(t, c.Manager().Shutdown(t.Context()))
	}
	require.Equal(t, "a, b", header.Get("X-Folded"))
	var refused *wsmanager.RefusedError
	_, err := wsmanager.Dial(t.Context(), url+"/refused", wsmanager.Callbacks{}, opts)
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "401 Bearer", fmt.Sprint(refused.StatusCode, " ", refused.Header.Get("WWW-Authenticate")))
	_, err = wsmanager.Dial(t.Context(), url+"/redirect", wsmanager.Callbacks{}, opts)
	require.ErrorAs(t, err, &refused)
	require.Equal(t, 307, refused.StatusCode)
	opts.Handshake.MaxRedirects = 1
	c, err := wsmanager.Dial(t.Context(), url+"/redirect", wsmanager.Callbacks{}, opts)
	require.NoError(t, err)
	require.NoError(t, c.Manager().Shutdown(t.Context()))
}

// Python's websockets as a client of the echo.
func TestPythonClient(t *testing.T) {
	exampletest.Programs(t)
	python := exampletest.Python(t, "websockets", "python3-websockets")
	for _, driver := range drivers {
		t.Run(driver.String(), func(t *testing.T) {
			p := start(t, "-compress", "-driver", driver.String())
			cmd := exec.CommandContext(t.Context(), python, "client.py", "ws"+strings.TrimPrefix(p.URL, "http")+"/echo")
			cmd.Dir = "testdata"
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s\n%s", out, p.Out)
			require.Equal(t, "ok\n", string(out))
		})
	}
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(wstest.Patience):
		t.Fatal("no value arrived")
		panic("unreachable")
	}
}
