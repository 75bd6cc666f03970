package frameworks_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/felixge/httpsnoop"
	"github.com/gin-gonic/gin"
	chimw "github.com/go-chi/chi/v5/middleware"
	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	wstest.Main(m)
}

// server is a Manager and a hub in a stack, between observers.
type server struct {
	*httptest.Server
	chat *wsmanager.Manager

	records  buffer       // log of the Manager and the hub
	netHTTP  buffer       // net/http's log
	own      buffer       // the stack's own log
	outside  atomic.Int64 // the status that httpsnoop saw, above the stack
	observed atomic.Int64 // the status that pipeline saw above the stack
	inside   atomic.Int64 // the status that chi's writer saw, below the stack
	connects atomic.Int64
}

func serve(t *testing.T, s stack, driver wsmanager.Driver) *server {
	t.Helper()
	srv := &server{}
	logger := slog.New(slog.NewJSONHandler(&srv.records, nil))
	srv.chat = wsmanager.MustNew(wsmanager.Callbacks{
		OnConnect: func(c *wsmanager.Conn) error { srv.connects.Add(1); return c.Send(wsmanager.Text("hello")) },
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) },
	}, wsmanager.Options{Logger: logger, Driver: driver})
	events := hub.MustNew(hub.Methods{"Add": func(a, b int) int { return a + b }},
		hub.Options{Logger: logger, WebSocket: wsmanager.Options{Driver: driver}})
	observe := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ww := chimw.NewWrapResponseWriter(w, 1)
			h.ServeHTTP(ww, r)
			srv.inside.Store(int64(ww.Status()))
		})
	}
	h := s.make(observe(srv.chat), observe(events), &srv.own)
	h = pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		_ = res.OnStarting(func(h http.Header, _ int) { h.Set("X-Starting", "set") })
		_ = res.OnCompleted(func() { srv.observed.Store(int64(res.Status())) })
		next.ServeHTTP(w, r)
	})(h)
	srv.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Above", "set")
		h.ServeHTTP(httpsnoop.Wrap(w, httpsnoop.Hooks{
			WriteHeader: func(next httpsnoop.WriteHeaderFunc) httpsnoop.WriteHeaderFunc {
				return func(code int) { srv.outside.Store(int64(code)); next(code) }
			},
		}), r)
	}))
	srv.Config.ErrorLog = log.New(&srv.netHTTP, "", 0)
	srv.Start()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), wstest.Patience)
		defer cancel()
		require.NoError(t, srv.chat.Shutdown(ctx))
		require.NoError(t, events.Shutdown(ctx))
		srv.Close()
	})
	return srv
}

// matrix runs f for each stack on both drivers; without an event loop, Auto uses goroutines
// too.
func matrix(t *testing.T, f func(*testing.T, stack, *server)) {
	for _, s := range stacks {
		t.Run(s.name, func(t *testing.T) {
			for _, driver := range []wsmanager.Driver{wsmanager.DriverAuto, wsmanager.DriverGoroutine} {
				t.Run(driver.String(), func(t *testing.T) { f(t, s, serve(t, s, driver)) })
			}
		})
	}
}

// One 101 reaches the client, correct to the byte; frames follow, also for a message that
// the client has sent with its request.
func TestManager(t *testing.T) {
	matrix(t, func(t *testing.T, s stack, srv *server) {
		c := dial(t, srv, "/ws", "early")
		if s.refuses != "" {
			requireRefused(t, s, srv, c)
			return
		}
		c.upgraded(t, s)
		require.Equal(t, "hello", c.text(t))
		require.Equal(t, "early", c.text(t))
		require.EqualValues(t, 1, srv.connects.Load())
		require.Equal(t, 1, srv.chat.All().Len())
		c.end(t)
		srv.saw101(t, s)
	})
}

func TestHub(t *testing.T) {
	matrix(t, func(t *testing.T, s stack, srv *server) {
		c := dial(t, srv, "/events", `{"protocol":"json","version":1}`+"\x1e")
		if s.refuses != "" {
			requireRefused(t, s, srv, c)
			return
		}
		c.upgraded(t, s)
		require.Equal(t, "{}\x1e", c.text(t))
		c.send(t, ws.OpText, []byte(`{"type":1,"invocationId":"1","target":"Add","arguments":[40,2]}`+"\x1e"))
		require.JSONEq(t, `{"type":3,"invocationId":"1","result":42}`, strings.TrimSuffix(c.text(t), "\x1e"))
		c.end(t)
		srv.saw101(t, s)
	})
}

// The hub's negotiation, and refusals, are ordinary answers below all of them.
func TestOrdinaryAnswers(t *testing.T) {
	matrix(t, func(t *testing.T, _ stack, srv *server) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/events/negotiate?negotiateVersion=1", http.NoBody)
		require.NoError(t, err)
		res, err := srv.Client().Do(req) // the client accepts gzip
		require.NoError(t, err)
		var answer struct{ ConnectionToken string }
		require.NoError(t, json.NewDecoder(res.Body).Decode(&answer))
		require.NoError(t, res.Body.Close())
		require.NotEmpty(t, answer.ConnectionToken)

		req, err = http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/ws", http.NoBody)
		require.NoError(t, err)
		res, err = srv.Client().Do(req)
		require.NoError(t, err)
		text, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, http.StatusUpgradeRequired, res.StatusCode)
		require.Contains(t, string(text), "This is a WebSocket endpoint.")

		foreign := wstest.Request(t, srv.URL+"/ws")
		foreign.Header.Set("Origin", "https://elsewhere.example")
		require.Equal(t, http.StatusForbidden, wstest.Handshake(t, foreign, nil).Response.StatusCode)
		require.Zero(t, srv.connects.Load())
		require.Empty(t, srv.netHTTP.String())
	})
}

// requireRefused expects a plain answer, and one record with the writer that prevents the upgrade.
func requireRefused(t *testing.T, s stack, srv *server, c *client) {
	t.Helper()
	res, err := http.ReadResponse(c.br, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusInternalServerError, res.StatusCode)
	require.Empty(t, res.Header.Get("Upgrade"))
	require.Empty(t, res.Header.Get("Sec-WebSocket-Accept"))
	require.Equal(t, 1, strings.Count(srv.records.String(), "\n"))
	require.Contains(t, srv.records.String(), s.refuses)
	require.Zero(t, srv.connects.Load())
	require.Zero(t, srv.chat.All().Len())
}

// saw101 checks the observers' results when the request has ended.
func (srv *server) saw101(t *testing.T, s stack) {
	t.Helper()
	require.Eventually(t, func() bool { return srv.observed.Load() != 0 }, wstest.Patience, time.Millisecond)
	require.EqualValues(t, http.StatusSwitchingProtocols, srv.observed.Load())
	require.EqualValues(t, http.StatusSwitchingProtocols, srv.inside.Load())
	if !s.hides {
		require.EqualValues(t, http.StatusSwitchingProtocols, srv.outside.Load())
	}
	if s.logs != "" {
		require.Regexp(t, strings.ReplaceAll(s.logs, "/ws", "/(ws|events)"), srv.own.String())
	} else {
		require.Empty(t, srv.own.String())
	}
	if s.repeats {
		require.Regexp(t, `^http: (superfluous )?response.WriteHeader (call|on hijacked connection) from [^\n]*\n$`, srv.netHTTP.String())
	} else {
		require.Empty(t, srv.netHTTP.String())
	}
	require.Eventually(t, func() bool { return strings.Contains(srv.records.String(), "websocket closed") }, wstest.Patience, time.Millisecond)
	require.Equal(t, 1, strings.Count(srv.records.String(), "\n"), srv.records.String())
}

// client reads and checks single bytes.
type client struct {
	conn net.Conn
	br   *bufio.Reader
}

// dial sends a handshake as a browser does, and a message in the same segment.
func dial(t *testing.T, srv *server, path, early string) *client {
	t.Helper()
	req := wstest.Request(t, srv.URL+path)
	req.Header.Set("Origin", srv.URL)
	req.Header.Set("Accept-Encoding", "gzip, deflate, br, zstd")
	var text bytes.Buffer
	require.NoError(t, req.Write(&text))
	text.Write(wstest.Frame(ws.OpText, true, []byte(early)))
	conn, err := net.DialTimeout("tcp", req.URL.Host, wstest.Patience)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() }) // already closed if the test has succeeded
	require.NoError(t, conn.SetDeadline(time.Now().Add(wstest.Patience)))
	_, err = conn.Write(text.Bytes())
	require.NoError(t, err)
	return &client{conn, bufio.NewReader(conn)}
}

// upgraded reads the head of the answer.
func (c *client) upgraded(t *testing.T, s stack) {
	t.Helper()
	var lines []string
	for {
		line, err := c.br.ReadString('\n')
		require.NoError(t, err, "after %q", lines)
		require.True(t, strings.HasSuffix(line, "\r\n"), "%q", line)
		if line = strings.TrimSuffix(line, "\r\n"); line == "" {
			break
		}
		lines = append(lines, line)
	}
	require.Equal(t, "HTTP/1.1 101 Switching Protocols", lines[0])
	count := map[string]int{}
	for _, line := range lines[1:] {
		name, _, ok := strings.Cut(line, ": ")
		require.True(t, ok, "%q", line)
		count[name]++
	}
	for _, name := range []string{"Connection", "Upgrade", "Sec-Websocket-Accept", "Date", "X-Above", "X-Starting", s.header} {
		if name != "" {
			require.Equal(t, 1, count[name], "%s in %q", name, lines)
		}
	}
	require.Subset(t, lines, []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-Websocket-Accept: " + wstest.Accept, "X-Above: set", "X-Starting: set"})
	for _, name := range []string{"Content-Length", "Content-Encoding", "Content-Type", "Transfer-Encoding"} {
		require.Zero(t, count[name], "%q", lines)
	}
}

// text reads a text frame.
func (c *client) text(t *testing.T) string {
	t.Helper()
	f, err := ws.ReadFrame(c.br) //nolint:staticcheck // the bytes are those of our own server
	require.NoError(t, err)
	require.Equal(t, ws.OpText, f.Header.OpCode)
	return string(f.Payload)
}

func (c *client) send(t *testing.T, op ws.OpCode, p []byte) {
	t.Helper()
	_, err := c.conn.Write(wstest.Frame(op, true, p))
	require.NoError(t, err)
}

// end closes the connection gracefully.
func (c *client) end(t *testing.T) {
	t.Helper()
	c.send(t, ws.OpClose, ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))
	for {
		f, err := ws.ReadFrame(c.br) //nolint:staticcheck // the bytes are those of our own server
		require.NoError(t, err)
		if f.Header.OpCode == ws.OpClose {
			break
		}
		require.Contains(t, string(f.Payload), `"type":7`, "a hub sends a Close message before the close")
	}
	require.NoError(t, c.conn.Close())
}
