package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/internal/exampletest"
	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestMain(m *testing.M) { wstest.Main(m) } // no goroutine may be left

// client talks to the running program.
type client struct {
	*exampletest.Program

	t *testing.T
}

func start(t *testing.T) *client {
	t.Helper()
	t.Setenv("ADMIN_TOKEN", "s3cret")
	return &client{exampletest.Start(t, run, "-addr", "127.0.0.1:0", "-origin", "https://app.example.com"), t}
}

func (c *client) do(method, path, body string, header ...string) (*http.Response, string) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.URL+path, strings.NewReader(body))
	require.NoError(c.t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(c.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(c.t, err)
	return res, string(text)
}

// dial joins the chat. Messages and the end go to the channels.
func (c *client) dial(origin string, messages chan<- string, ended chan<- error) (*wsmanager.Conn, error) {
	opts := wsmanager.DialOptions{}
	if origin != "" {
		opts.Handshake.Header = http.Header{"Origin": {origin}}
	}
	return wsmanager.Dial(c.t.Context(), strings.Replace(c.URL, "http", "ws", 1)+"/chat", wsmanager.Callbacks{
		OnMessage: func(_ *wsmanager.Conn, m wsmanager.Message) error {
			messages <- string(m.Payload)
			return nil
		},
		OnClose: func(_ *wsmanager.Conn, err error) { ended <- err },
	}, opts)
}

func TestAPI(t *testing.T) {
	c := start(t)
	res, body := c.do("POST", "/api/notes", `{"text":"buy milk"}`, "Content-Type", "application/json")
	require.Equal(t, http.StatusCreated, res.StatusCode)
	require.JSONEq(t, `{"id":1,"text":"buy milk"}`, body)
	id := res.Header.Get("X-Request-Id")
	require.Len(t, id, 32)
	c.Out.WaitFor(t, `"msg":"note added","note":1,"request":\{"id":"`+id+`"\}`)
	c.Out.WaitFor(t, `"msg":"request","request":\{"method":"POST","url":"/api/notes",[^}]*"route":"POST /api/notes","id":"`+id+`"\}`)

	for _, wrong := range []struct{ body, want string }{
		{`{"text":""}`, `"errors":[{"pointer":"#/text","detail":"must have 1 to 500 bytes"}]`},
		{`{"text":1,"by":2}`, `"errors":[{"pointer":"#/by","detail":"is not known"},{"pointer":"#/text","detail":"must be a string"}]`},
		{`{`, `the value is not complete`},
	} {
		res, body = c.do("POST", "/api/notes", wrong.body, "Content-Type", "application/json")
		require.Equal(t, http.StatusBadRequest, res.StatusCode)
		require.Contains(t, body, wrong.want)
	}
	res, _ = c.do("POST", "/api/notes", `{"text":"`+strings.Repeat("x", 65<<10)+`"}`, "Content-Type", "application/json")
	require.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode)
	_, body = c.do("GET", "/api/notes", "")
	require.JSONEq(t, `[{"id":1,"text":"buy milk"}]`, body)
	res, _ = c.do("DELETE", "/api/notes/one", "")
	require.Equal(t, http.StatusNotFound, res.StatusCode)
	res, _ = c.do("PUT", "/api/notes", "")
	require.Equal(t, http.StatusMethodNotAllowed, res.StatusCode)
	res, _ = c.do("DELETE", "/api/notes/1", "")
	require.Equal(t, http.StatusNoContent, res.StatusCode)
	_, body = c.do("GET", "/api/notes", "")
	require.JSONEq(t, `[]`, body)
}

// The service keeps the newest notes.
func TestManyNotes(t *testing.T) {
	n := newNotes()
	for i := range maxNotes + 5 {
		n.change(func(list []note) []note { return newest(append(list, note{ID: i})) })
	}
	list, _ := n.all()
	require.Len(t, list, maxNotes)
	require.Equal(t, 5, list[0].ID)
}

// Pages of the one other origin may use the API and the chat.
func TestOtherOrigin(t *testing.T) {
	c := start(t)
	messages, ended := make(chan string, 1), make(chan error, 1)
	for origin, allowed := range map[string]bool{"https://app.example.com": true, "https://other.example": false} {
		res, _ := c.do("OPTIONS", "/api/notes/1", "", "Origin", origin, "Access-Control-Request-Method", "DELETE")
		require.Equal(t, allowed, res.Header.Get("Access-Control-Allow-Origin") == origin)
		conn, err := c.dial(origin, messages, ended)
		if allowed {
			require.NoError(t, err)
			require.NoError(t, conn.Close(wsmanager.StatusNormalClosure, ""))
			<-ended
		} else {
			require.ErrorContains(t, err, "403")
		}
	}
}

func TestAdmin(t *testing.T) {
	c := start(t)
	for _, header := range [][]string{nil, {"Authorization", "Bearer wrong"}, {"Authorization", "Basic s3cret"}} {
		for path, want := range map[string]int{"/admin/chat": 401, "/ADMIN/chat": 401, "/admin/missing": 401, "/admin%2Fchat": 400, "//admin/chat": 307} {
			res, body := c.do("GET", path, "", header...)
			require.Equal(t, want, res.StatusCode, path)
			require.NotContains(t, body, "connections")
		}
	}
	res, body := c.do("GET", "/admin/chat", "", "Authorization", "Bearer s3cret")
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.JSONEq(t, `{"connections":0}`, body)
}

func TestSite(t *testing.T) {
	c := start(t)
	for path, want := range map[string]int{"/": 200, "/chat-room": 200, "/index.html": 200, "/app.js": 200, "/missing.js": 404, "/api/missing": 404} {
		res, body := c.do("GET", path, "", "Accept", "text/html,*/*;q=0.8")
		require.Equal(t, want, res.StatusCode, path)
		require.Equal(t, "default-src 'self'", res.Header.Get("Content-Security-Policy"))
		if want == 200 && path != "/app.js" {
			require.Contains(t, body, "<title>Notes</title>", path)
		}
	}
}

func TestChat(t *testing.T) {
	c := start(t)
	messages, ended := make(chan string, 2), make(chan error, 2)
	first, err := c.dial("", messages, ended)
	require.NoError(t, err)
	_, err = c.dial("", messages, ended)
	require.NoError(t, err)
	require.NoError(t, first.Send(wsmanager.Text("hello")))
	require.Equal(t, "hello", <-messages)
	require.Equal(t, "hello", <-messages)
	_, body := c.do("GET", "/metrics", "")
	require.Contains(t, body, "chat_connections 2\n")

	res, _ := c.do("DELETE", "/admin/chat", "", "Authorization", "Bearer s3cret")
	require.Equal(t, http.StatusNoContent, res.StatusCode)
	for range 2 {
		require.ErrorContains(t, <-ended, "closed by an administrator")
	}
}

func TestMetricsTellRoutesApart(t *testing.T) {
	c := start(t)
	for _, path := range []string{"/api/notes", "/api/missing", "/app.js", "/missing.js", "/health", "/chat"} {
		c.do("GET", path, "")
	}
	c.do("PUT", "/api/notes", "")
	_, body := c.do("GET", "/metrics", "")
	for _, labels := range []string{
		`{code="200",route="GET /api/notes"}`, `{code="404",route="/api"}`, `{code="200",route="/{file...}"}`, `{code="404",route=""}`,
		`{code="200",route="/health"}`, `{code="405",route="/api/notes"}`, `{code="426",route="/chat"}`,
	} {
		require.Contains(t, body, "http_request_duration_seconds_count"+labels+" 1\n")
	}
}

// A drain ends streams and sockets, and the program.
func TestEventsAndDrain(t *testing.T) {
	c := start(t)
	messages, ended := make(chan string, 1), make(chan error, 1)
	_, err := c.dial("", messages, ended)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+"/events", nil)
	require.NoError(t, err)
	res, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	defer res.Body.Close()
	events := bufio.NewScanner(res.Body)
	next := func() string {
		require.True(t, events.Scan(), events.Err())
		line := events.Text()
		require.True(t, events.Scan(), events.Err())
		return line
	}
	require.Equal(t, "data: 0", next())
	c.do("POST", "/api/notes", `{"text":"x"}`, "Content-Type", "application/json")
	require.Equal(t, "data: 1", next())
	c.Stop()
	require.False(t, events.Scan())
	require.NoError(t, events.Err(), "the answer is complete")
	require.NoError(t, <-ended, "the close handshake is complete")
	c.End(t)
}

func TestHealth(t *testing.T) {
	res, body := start(t).do("GET", "/health", "")
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, "Healthy", body)
}

// The whole service has at most 260 lines of Go, without blank lines, comments and tests.
func TestSize(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	lines := 0
	comment := regexp.MustCompile(`^\s*(//.*)?$`)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		for line := range bytes.Lines(text) {
			if !comment.Match(bytes.TrimRight(line, "\n")) {
				lines++
			}
		}
	}
	require.LessOrEqual(t, lines, 260)
	require.Greater(t, lines, 100)
}
