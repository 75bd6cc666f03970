package wsmanager_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// smuggled is a request that a client sends behind a handshake. A proxy that forwards
// everything after a handshake does not check it.
const smuggled = "GET /admin HTTP/1.1\r\nHost: example.com\r\n\r\n"

// behindTunnel sends a request and a smuggled one to a server with the handler, and returns
// the answer to the first. It fails the test if the connection stays open, or if the second
// request reaches the server.
func behindTunnel(t *testing.T, h http.Handler, request string) *http.Response {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/ws", h)
	mux.HandleFunc("/admin", func(http.ResponseWriter, *http.Request) { t.Error("the second request has reached the server") })
	srv := httptest.NewUnstartedServer(mux)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.Start()
	t.Cleanup(srv.Close)
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(wstest.Patience)))
	_, err = io.WriteString(conn, request+smuggled)
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err, "the connection is open")
	br := bufio.NewReader(bytes.NewReader(answer))
	res, err := http.ReadResponse(br, nil)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, res.Body)
	require.NoError(t, err)
	rest, err := io.ReadAll(br)
	require.NoError(t, err)
	require.Empty(t, string(rest))
	delete(res.Header, "Connection") // http.ReadResponse removes it too, but not always
	head, _, _ := strings.Cut(string(answer), "\r\n\r\n")
	for line := range strings.SplitSeq(head, "\r\n") {
		if value, ok := strings.CutPrefix(line, "Connection: "); ok {
			res.Header.Add("Connection", value)
		}
	}
	return res
}

// handshakeText returns a handshake for /ws with further header lines.
func handshakeText(lines ...string) string {
	return "GET /ws HTTP/1.1\r\nHost: example.com\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + wstest.Key + "\r\n" +
		strings.Join(append(lines, "\r\n"), "\r\n")
}

func TestRefusedUpgradesCloseTheConnection(t *testing.T) {
	t.Parallel()
	rejecting := func(err error) wsmanager.Callbacks {
		return wsmanager.Callbacks{OnAccept: func(*http.Request) (wsmanager.Accept, error) { return wsmanager.Accept{}, err }}
	}
	drained := func(m *wsmanager.Manager) { _ = m.Shutdown(context.Background()) }
	recovering := func(h http.Handler) http.Handler {
		return middleware.Recover(middleware.RecoverOptions{Logger: slog.New(slog.DiscardHandler)})(h)
	}
	withoutHijack := func(h http.Handler) http.Handler { return http.TimeoutHandler(h, wstest.Patience, "") }
	valid := handshakeText()
	without := func(header string) string {
		name, _, _ := strings.Cut(header, ":")
		return strings.Replace(valid, header, "X-"+name+": ", 1)
	}
	for _, tt := range []struct {
		name     string
		request  string
		callback wsmanager.Callbacks
		prepare  func(*wsmanager.Manager)
		above    func(http.Handler) http.Handler
		status   int
	}{
		{name: "a foreign origin", request: handshakeText("Origin: http://evil.example"), status: 403},
		{name: "Shutdown", request: valid, prepare: drained, status: 503},
		{name: "rejected", request: valid, callback: rejecting(wsmanager.Reject(401, "Log in.")), status: 401},
		{name: "rejected with 426", request: valid, callback: rejecting(wsmanager.Reject(426, "Later.")), status: 426},
		{name: "OnAccept fails", request: valid, callback: rejecting(errors.New("no database")), status: 500},
		{name: "OnAccept panics", request: valid, callback: wsmanager.Callbacks{OnAccept: func(*http.Request) (wsmanager.Accept, error) { panic("at the disco") }}, above: recovering, status: 500},
		{name: "a bad result of OnAccept", request: valid, callback: wsmanager.Callbacks{OnAccept: func(*http.Request) (wsmanager.Accept, error) {
			return wsmanager.Accept{Header: http.Header{"Connection": {"keep-alive"}}}, nil
		}}, status: 500},
		{name: "no Hijack", request: valid, above: withoutHijack, status: 500},
		{name: "no key", request: without("Sec-WebSocket-Key: "), status: 400},
		{name: "an old version", request: strings.Replace(valid, "13", "8", 1), status: 426},
		{name: "no version", request: without("Sec-WebSocket-Version: "), status: 426},
		{name: "no Connection", request: without("Connection: "), status: 426},
		{name: "no Upgrade", request: without("Upgrade: "), status: 426},
		{name: "another protocol", request: strings.Replace(valid, "websocket", "h2c", 1), status: 426},
		{name: "a page", request: "GET /ws HTTP/1.1\r\nHost: example.com\r\n\r\n", status: 426},
		{name: "HTTP/1.0", request: strings.Replace(strings.Replace(valid, "HTTP/1.1", "HTTP/1.0", 1), "keep-alive, ", "keep-alive\r\nConnection: ", 1), status: 400},
		{name: "POST", request: strings.Replace(valid, "GET", "POST", 1), status: 405},
		{name: "a body", request: handshakeText("Content-Length: 5") + "hello", status: 400},
		{name: "a body that never comes", request: handshakeText("Content-Length: 1000"), status: 400},
		{name: "a page with a body that never comes", request: "POST /ws HTTP/1.1\r\nHost: example.com\r\nContent-Length: 1000\r\n\r\n", status: 426},
		{name: "chunks that never come", request: handshakeText("Transfer-Encoding: chunked") + "3e8\r\n", status: 400},
		{name: "a body of which 100 Continue is expected", request: handshakeText("Content-Length: 1000", "Expect: 100-continue"), status: 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := wsmanager.MustNew(tt.callback, optionsWithoutLog())
			if tt.prepare != nil {
				tt.prepare(m)
			}
			h := http.Handler(m)
			if tt.above != nil {
				h = tt.above(h)
			}
			res := behindTunnel(t, h, tt.request)
			require.Equal(t, tt.status, res.StatusCode)
			requireClose(t, res)
		})
	}
}

// requireClose checks the header Connection of a refusal.
func requireClose(t *testing.T, res *http.Response) {
	t.Helper()
	if res.StatusCode == http.StatusUpgradeRequired {
		require.Equal(t, []string{"close", "Upgrade"}, res.Header["Connection"], "on two lines")
		return
	}
	require.Equal(t, []string{"close"}, res.Header["Connection"])
}

func TestConnectionsAboveTheLimitAreClosed(t *testing.T) {
	onSocketDrivers(t, testConnectionsAboveTheLimitAreClosed)
}

func testConnectionsAboveTheLimitAreClosed(t *testing.T) {
	opts := optionsWithoutLog()
	opts.MaxConnections = 1
	m, url := serve(t, wsmanager.Callbacks{}, opts, nil)
	dialOver(t, url, nil)
	res := behindTunnel(t, m, handshakeText())
	require.Equal(t, 503, res.StatusCode)
	requireClose(t, res)
}

// passes copies the headers with these names from its own header to the writer below when
// the status is written.
type passes struct {
	http.ResponseWriter
	header http.Header
	names  []string
}

func (w *passes) Header() http.Header { return w.header }
func (w *passes) WriteHeader(code int) {
	for _, name := range w.names {
		w.ResponseWriter.Header()[name] = w.header[name]
	}
	w.ResponseWriter.WriteHeader(code)
}
func (w *passes) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// The connection is closed below any writer, also if the components around set or drop
// headers.
func TestRefusedUpgradesCloseTheConnectionBelowAnyWriter(t *testing.T) {
	t.Parallel()
	s := &seen{}
	for name, wrap := range map[string]func(http.ResponseWriter) http.ResponseWriter{
		"forwards":         func(w http.ResponseWriter) http.ResponseWriter { return &forwards{w, "f", s} },
		"forwards, Unwrap": func(w http.ResponseWriter) http.ResponseWriter { return forwardsOpen{&forwards{w, "f", s}} },
		"stores":           func(w http.ResponseWriter) http.ResponseWriter { return &stores{ResponseWriter: w, seen: s} },
		"as iris":          func(w http.ResponseWriter) http.ResponseWriter { return &iris{ResponseWriter: w, status: 200} },
		"as go-zero":       func(w http.ResponseWriter) http.ResponseWriter { return &goZero{Writer: w} },
		"closures":         func(w http.ResponseWriter) http.ResponseWriter { return closed(w) },
		"compresses":       func(w http.ResponseWriter) http.ResponseWriter { return encodes{&forwards{w, "f", s}} },
		"a header of its own, of which it passes a part": func(w http.ResponseWriter) http.ResponseWriter {
			return &passes{w, http.Header{}, []string{"Content-Type", "Cache-Control"}}
		},
		"keep-alive": func(w http.ResponseWriter) http.ResponseWriter {
			w.Header()["Connection"] = []string{"keep-alive"}
			return w
		},
		"a header that is nil, above one that is not": func(w http.ResponseWriter) http.ResponseWriter {
			return forwardsOpen{&forwards{&passes{w, http.Header{}, nil}, "f", s}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := wsmanager.MustNew(wsmanager.Callbacks{}, optionsWithoutLog())
			res := behindTunnel(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.ServeHTTP(wrap(w), r) }), handshakeText("Origin: null"))
			require.Equal(t, 403, res.StatusCode)
			requireClose(t, res)
		})
	}
	for name, mw := range map[string]pipeline.Middleware{
		"StatusPages": middleware.StatusPages(middleware.StatusPagesOptions{}),
		"AccessLog":   middleware.AccessLog(middleware.AccessLogOptions{Logger: slog.New(slog.DiscardHandler)}),
		"Timeout":     middleware.Timeout(time.Hour),
		"BodyLimit":   middleware.BodyLimit(1 << 10),
		"Recover":     middleware.Recover(middleware.RecoverOptions{}),
	} {
		for status, request := range map[int]string{403: handshakeText("Origin: null"), 426: "GET /ws HTTP/1.1\r\nHost: example.com\r\n\r\n"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				res := behindTunnel(t, mw(wsmanager.MustNew(wsmanager.Callbacks{}, optionsWithoutLog())), request)
				require.Equal(t, status, res.StatusCode)
				requireClose(t, res)
			})
		}
	}
}

// A component that recovers from all panics, http.ErrAbortHandler included, closes the
// connection too.
func TestBrokenHandshakeBelowAComponentThatRecovers(t *testing.T) {
	t.Parallel()
	m := wsmanager.MustNew(wsmanager.Callbacks{}, optionsWithoutLog())
	res := behindTunnel(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if recover() != nil {
				http.Error(w, "Oops.", http.StatusInternalServerError)
			}
		}()
		m.ServeHTTP(panics{&stores{ResponseWriter: w, seen: &seen{}}}, r)
	}), handshakeText())
	require.Equal(t, 500, res.StatusCode)
	requireClose(t, res)
}

// Over HTTP/2 a refusal ends its stream only: other requests share the connection, and
// Connection is not a header of HTTP/2 (RFC 9113, section 8.2.2).
func TestRefusedStreamsLeaveTheConnectionOpen(t *testing.T) {
	onStreams(t, testRefusedStreamsLeaveTheConnectionOpen)
}

func testRefusedStreamsLeaveTheConnectionOpen(t *testing.T) {
	_, url := serve(t, wsmanager.Callbacks{OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
		switch r.URL.Query().Get("do") {
		case "fail":
			return wsmanager.Accept{}, errors.New("no database")
		case "426":
			return wsmanager.Accept{}, wsmanager.Reject(426, "Later.")
		}
		return wsmanager.Accept{}, nil
	}}, optionsWithoutLog(), nil)
	c := dialRaw(t, url)
	for _, tt := range []struct {
		path, status string
		headers      []string
	}{
		{"/ws", "403", []string{"origin", "null"}},
		{"/ws", "400", []string{"sec-websocket-version", "8"}},
		{"/ws?do=fail", "500", nil},
		{"/ws?do=426", "426", nil},
		{"/ws", "200", nil},
	} {
		got := c.answer(c.ask(tt.path, false, tt.headers...))
		require.Equal(t, tt.status, got[":status"])
		require.NotContains(t, got, "connection")
		require.NotContains(t, got, "upgrade")
	}
}
