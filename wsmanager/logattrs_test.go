package wsmanager_test

import (
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// identified serves a Manager behind a trusted proxy, with ids of requests.
func identified(m *wsmanager.Manager) http.Handler {
	forwarded := middleware.Forwarded(middleware.ForwardedOptions{Trusted: []string{"127.0.0.1"}, Headers: []string{"X-Forwarded-For"}})
	return forwarded(middleware.RequestID(middleware.RequestIDOptions{Incoming: true})(m))
}

// The records of a connection and of a refusal carry the id of the request and the client's
// address, beside the socket's address and the user.
func TestRecordsIdentifyTheRequest(t *testing.T) { onEachDriver(t, testRecordsIdentifyTheRequest) }

func testRecordsIdentifyTheRequest(t *testing.T) {
	j := newJournal()
	opts := wsmanager.Options{Logger: slog.New(slog.NewJSONHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug})), LogAttrs: middleware.LogAttrs}
	m, url := serve(t, wsmanager.Callbacks{OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
		return wsmanager.Accept{User: r.URL.Query().Get("user"), Value: 7}, nil
	}}, opts, identified)
	request := func(id string) *http.Request {
		req := wstest.Request(t, url+"/ws?user=ann")
		req.Header.Set("X-Forwarded-For", "203.0.113.9")
		req.Header.Set("X-Request-Id", id)
		return req
	}
	bad := request("id-of-the-refused")
	bad.Header.Set("Origin", "http://evil.example")
	require.Equal(t, 403, handshakeOver(t, bad, nil).Response.StatusCode)
	c := handshakeOver(t, request("id-of-the-accepted"), nil)
	require.Equal(t, 101, c.Response.StatusCode)
	conn := onlyConn(t, m)
	c.SendClose(1000, "bye")
	c.ExpectClose(1000)

	rec := j.record(t, 0)
	require.Equal(t, "websocket refused", rec["msg"])
	require.Equal(t, map[string]any{"path": "/ws", "origin": "http://evil.example", "remote": "203.0.113.9:0", "id": "id-of-the-refused"}, rec["request"])
	require.Equal(t, map[string]any{"status": 403.0}, rec["response"])
	peer := rec["peer"]
	require.Contains(t, peer, "127.0.0.1:")
	for n, msg := range []string{"websocket connected", "websocket closed"} {
		rec = j.record(t, n+1)
		require.Equal(t, msg, rec["msg"])
		require.Equal(t, conn.ID(), rec["conn"])
		require.Equal(t, "ann", rec["user"])
		require.Contains(t, rec["peer"], "127.0.0.1:", "the socket's")
		require.NotEqual(t, peer, rec["peer"], "of another socket")
		require.Equal(t, map[string]any{"remote": "203.0.113.9:0", "id": "id-of-the-accepted"}, rec["request"])
	}
	require.Equal(t, "bye", rec["reason"])
	for _, line := range j.all() {
		require.Equal(t, 1, strings.Count(line, `"request":`), "a name is twice in %s", line)
	}
}

// LogAttrs does not change what the application sees of a connection.
func TestValueBesideLogAttrs(t *testing.T) { onEachDriver(t, testValueBesideLogAttrs) }

func testValueBesideLogAttrs(t *testing.T) {
	var calls atomic.Int64
	for _, tt := range []struct {
		name  string
		value any
		attrs []slog.Attr
	}{
		{"both", 7, []slog.Attr{slog.String("trace", "1")}},
		{"attributes only", nil, []slog.Attr{slog.String("trace", "1")}},
		{"a value only", 7, nil},
		{"none", nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opts, log := logged()
			opts.LogAttrs = func(*http.Request) []slog.Attr { calls.Add(1); return tt.attrs }
			m, url := serve(t, wsmanager.Callbacks{OnAccept: func(*http.Request) (wsmanager.Accept, error) {
				return wsmanager.Accept{Value: tt.value}, nil
			}}, opts, nil)
			before := calls.Load()
			c := dialOver(t, url, nil)
			conn := onlyConn(t, m)
			n, ok := wsmanager.Value[int](conn)
			require.Equal(t, tt.value != nil, ok)
			require.Equal(t, tt.value != nil, n == 7)
			v, ok := wsmanager.Value[any](conn)
			require.Equal(t, tt.value != nil, ok)
			require.Equal(t, tt.value, v)
			require.Empty(t, conn.User())
			c.SendClose(1000, "")
			c.ExpectClose(1000)
			rec := log.record(t, 0)
			require.Equal(t, len(tt.attrs) > 0, rec["trace"] == "1")
			require.NotContains(t, rec, "user")
			require.Equal(t, before+1, calls.Load(), "once for each handshake")
		})
	}
}

// A panic of LogAttrs changes neither the answer to a handshake nor its record.
func TestLogAttrsPanics(t *testing.T) { onEachDriver(t, testLogAttrsPanics) }

func testLogAttrsPanics(t *testing.T) {
	opts, log := logged()
	opts.LogAttrs = func(*http.Request) []slog.Attr { panic("this panic is a part of a test") }
	_, url := serve(t, echoing, opts, nil)
	req := wstest.Request(t, url)
	req.Header.Set("Origin", "null")
	require.Equal(t, 403, handshakeOver(t, req, nil).Response.StatusCode)
	c := dialOver(t, url, nil)
	c.SendText("hello")
	c.ExpectText("hello")
	c.SendClose(1000, "")
	c.ExpectClose(1000)
	require.Equal(t, "websocket refused", log.record(t, 0)["msg"])
	require.Equal(t, "websocket closed", log.record(t, 1)["msg"])
}

// An attribute of the package counts before one of LogAttrs, and a user's name has a limit.
func TestLogAttrsReplaceNothing(t *testing.T) {
	opts, log := logged()
	opts.LogAttrs = func(*http.Request) []slog.Attr {
		return []slog.Attr{slog.Int("code", 42), slog.String("conn", "mine"), slog.Group("request", slog.String("path", "mine"), slog.String("id", "x"))}
	}
	m, url := serve(t, wsmanager.Callbacks{OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
		return wsmanager.Accept{User: repeat("ann", 1000)}, nil
	}}, opts, nil)
	req := wstest.Request(t, url+"/here")
	req.Header.Set("Origin", "null")
	require.Equal(t, 403, handshakeOver(t, req, nil).Response.StatusCode)
	c := dialOver(t, url, nil)
	id := onlyConn(t, m).ID()
	c.SendClose(1000, "")
	c.ExpectClose(1000)
	refused, closed := log.record(t, 0), log.record(t, 1)
	require.Equal(t, "/here", inGroup(refused, "request", "path"))
	require.Equal(t, "x", inGroup(refused, "request", "id"))
	require.EqualValues(t, 1000, closed["code"])
	require.Equal(t, id, closed["conn"])
	require.Less(t, len(closed["user"].(string)), 300)
	require.Regexp(t, regexp.MustCompile("^(ann)+"), closed["user"])
}
