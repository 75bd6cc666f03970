package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/internal/exampletest"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/hub/hubtest"
	"github.com/speakingtube/speakingtube/wsmanager/hub/msgpack"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestMain(m *testing.M) {
	if addr := os.Getenv(dotnetServer); addr != "" {
		if err := serveDotnet(addr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	wstest.Main(m)
}

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
	for _, p := range []hub.Protocol{hub.JSON(), msgpack.New(msgpack.Options{})} {
		t.Run(p.Name(), func(t *testing.T) {
			var out exampletest.Output
			log := slog.New(slog.NewTextHandler(&out, nil))
			h := testHub(t, methods(), options(log, newBoard()))
			c := hubtest.Connect(t, h, hubtest.Options{
				Handler: app(h, log).MustBuild(), Protocol: p,
				Handlers: hub.Methods{"clientAdd": func(a, b int) int { return a + b }},
			})
			require.Equal(t, "hello", hubtest.Invoke[string](c, "Echo", "hello"))
			require.Equal(t, 42, hubtest.Invoke[int](c, "Add", 40, 2))
			require.Equal(t, "boom", c.CallFails("Fail"))
			require.Equal(t, []int{0, 1, 2}, slices.Collect(hubtest.Stream[int](c, "Counter", 3, 1)))
			require.Equal(t, 6, hubtest.Invoke[int](c, "Sum", slices.Values([]int{1, 2, 3})))
			require.Equal(t, 11, hubtest.Invoke[int](c, "AskClient", 5, 6))

			c.Call("ToGroup", "g", "for no members")
			c.Call("JoinGroup", "g")
			c.Call("ToGroup", "g", "members")
			c.Call("Broadcast", "all")
			c.Expect("message", c.ID(), "members")
			c.Expect("message", c.ID(), "all")
			c.ExpectNone()
			c.Send("Abort")
			require.NoError(t, c.WaitClosed())
			out.WaitFor(t, `request.url="/hub\?id=xxx"`)
			require.NotContains(t, out.String(), "stct_", "the secret of a connection is in the log")
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
