package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/internal/exampletest"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/hub/msgpack"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestMain(m *testing.M) { wstest.Main(m) }

// start runs the program until the test ends.
func start(t *testing.T, addr string) *exampletest.Program {
	t.Helper()
	return exampletest.Start(t, run, "-addr", addr)
}

func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, string(body)
}

func TestHTTP(t *testing.T) {
	s := start(t, "127.0.0.1:0")
	for _, tt := range []struct {
		name, path, contentType, contains string
		status                            int
	}{
		{"page", "/", "text/html; charset=utf-8", `<script type="module" src="board.js">`, 200},
		{"script", "/board.js", "text/javascript; charset=utf-8", "HubConnectionBuilder", 200},
		{"official client", "/signalr/signalr.min.js", "text/javascript; charset=utf-8", "signalR", 200},
		{"its licence", "/signalr/LICENSE.txt", "text/plain; charset=utf-8", "The MIT License", 200},
		{"health", "/health", "text/plain; charset=utf-8", "Healthy", 200},
		{"no such page", "/nowhere", "text/plain; charset=utf-8", "404", 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res, body := get(t, s.URL+tt.path)
			require.Equal(t, tt.status, res.StatusCode)
			require.Equal(t, tt.contentType, res.Header.Get("Content-Type"))
			require.Contains(t, body, tt.contains)
			s.Out.WaitFor(t, `msg=request request.method=GET request.url="?`+regexp.QuoteMeta(tt.path)+`"? `)
		})
	}
}

// The methods, by a client in Go, in both protocols.
func TestMethods(t *testing.T) {
	s := start(t, "127.0.0.1:0")
	for _, p := range []hub.Protocol{hub.JSON(), msgpack.New(msgpack.Options{})} {
		t.Run(p.Name(), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), wstest.Patience)
			defer cancel()
			type message struct{ id, text string }
			messages := make(chan message, 10)
			c, err := hub.Dial(ctx, s.URL+"/hub", hub.DialOptions{Protocol: p, Logger: slog.New(slog.DiscardHandler), Handlers: hub.Methods{
				"message":   func(id, text string) { messages <- message{id, text} },
				"clientAdd": func(a, b int) int { return a + b },
			}})
			require.NoError(t, err)
			defer c.Close()

			text, err := hub.Invoke[string](ctx, c, "Echo", "hello")
			require.NoError(t, err)
			require.Equal(t, "hello", text)
			n, err := hub.Invoke[int](ctx, c, "Add", 40, 2)
			require.NoError(t, err)
			require.Equal(t, 42, n)
			var remote *hub.RemoteError
			require.ErrorAs(t, c.Call(ctx, "Fail"), &remote)
			require.Equal(t, "boom", remote.Text)
			var items []int
			for i, err := range hub.Stream[int](ctx, c, "Counter", 3, 1) {
				require.NoError(t, err)
				items = append(items, i)
			}
			require.Equal(t, []int{0, 1, 2}, items)
			numbers := make(chan int, 3)
			numbers <- 1
			numbers <- 2
			numbers <- 3
			close(numbers)
			n, err = hub.Invoke[int](ctx, c, "Sum", (<-chan int)(numbers))
			require.NoError(t, err)
			require.Equal(t, 6, n)
			n, err = hub.Invoke[int](ctx, c, "AskClient", 5, 6)
			require.NoError(t, err)
			require.Equal(t, 11, n)

			require.NoError(t, c.Call(ctx, "ToGroup", "g", "nobody hears it"))
			require.NoError(t, c.Call(ctx, "JoinGroup", "g"))
			require.NoError(t, c.Call(ctx, "ToGroup", "g", "members"))
			require.NoError(t, c.Call(ctx, "Broadcast", "all"))
			for _, want := range []string{"members", "all"} {
				select {
				case m := <-messages:
					require.Equal(t, message{c.ID(), want}, m)
				case <-ctx.Done():
					t.Fatal("no message came")
				}
			}
			require.NotRegexp(t, `/hub\?id=(?:[^x]|x[^x])`, s.Out.String(), "the secret of a connection is in the log")
			_ = c.Send(ctx, "Abort") // the answer may be that it has ended
			select {
			case <-c.Done():
			case <-ctx.Done():
				t.Fatal("it did not end")
			}
		})
	}
}

// SIGTERM: clients read that they may connect again, and run returns nil, which is exit
// status 0.
func TestDrain(t *testing.T) {
	s := start(t, "127.0.0.1:0")
	c := wstest.Dial(t, s.URL+"/hub", nil)
	c.SendText(`{"protocol":"json","version":1}` + "\x1e")
	c.ExpectText("{}\x1e")
	s.Stop()
	c.ExpectText(`{"type":7,"allowReconnect":true}` + "\x1e")
	c.ExpectClose(1000)
	s.End(t)
}

func TestBadFlag(t *testing.T) {
	require.Error(t, run(t.Context(), []string{"-port", "1"}, io.Discard))
	require.Error(t, run(t.Context(), []string{"-addr", "127.0.0.1:99999"}, io.Discard))
}
