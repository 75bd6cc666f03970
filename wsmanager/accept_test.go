package wsmanager_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestHandshakeRefusals(t *testing.T) { onEachDriver(t, testHandshakeRefusals) }

func testHandshakeRefusals(t *testing.T) {
	needH1(t, "see TestStreamRefusals")
	del := func(name string) func(*http.Request) { return func(r *http.Request) { r.Header.Del(name) } }
	set := func(name string, values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header[http.CanonicalHeaderKey(name)] = values }
	}
	for _, tt := range []struct {
		name   string
		modify func(*http.Request)
		status int
		body   string
		header [2]string
	}{
		{"valid", func(*http.Request) {}, 101, "", [2]string{"Upgrade", "websocket"}},
		{"lists and another letter case", func(r *http.Request) {
			r.Header.Set("Connection", "keep-alive, upgrade")
			r.Header.Set("Upgrade", "h2c, WebSocket")
		}, 101, "", [2]string{"Connection", "Upgrade"}},
		{"lists over several lines", set("Connection", "keep-alive", "Upgrade"), 101, "", [2]string{}},
		{"a plain GET", func(r *http.Request) { r.Header = http.Header{} }, 426, "This is a WebSocket endpoint.", [2]string{"Upgrade", "websocket"}},
		{"a plain POST", func(r *http.Request) { r.Header = http.Header{}; r.Method = "POST" }, 426, `"Sec-WebSocket-Version: 13"`, [2]string{"Upgrade", "websocket"}},
		{"no Upgrade", del("Upgrade"), 426, "This is a WebSocket endpoint.", [2]string{}},
		{"no Connection", del("Connection"), 426, "This is a WebSocket endpoint.", [2]string{}},
		{"another protocol", set("Upgrade", "h2c"), 426, "This is a WebSocket endpoint.", [2]string{}},
		{"not GET", func(r *http.Request) { r.Method = "POST" }, 405, "is a GET request", [2]string{"Allow", "GET"}},
		{"no version", del("Sec-WebSocket-Version"), 426, "version 13", [2]string{"Sec-WebSocket-Version", "13"}},
		{"an old version", set("Sec-WebSocket-Version", "8"), 426, "version 13", [2]string{"Sec-WebSocket-Version", "13"}},
		{"two versions", set("Sec-WebSocket-Version", "13", "13"), 426, "version 13", [2]string{"Sec-WebSocket-Version", "13"}},
		{"a list of versions", set("Sec-WebSocket-Version", "13, 8"), 426, "version 13", [2]string{"Sec-WebSocket-Version", "13"}},
		{"no key", del("Sec-WebSocket-Key"), 400, "one Sec-WebSocket-Key", [2]string{}},
		{"two keys", set("Sec-WebSocket-Key", wstest.Key, wstest.Key), 400, "one Sec-WebSocket-Key", [2]string{}},
		{"a short key", set("Sec-WebSocket-Key", "c2hvcnQ="), 400, "16 bytes in base64", [2]string{}},
		{"a key of the right length that is not base64", set("Sec-WebSocket-Key", "!!!!!!!!!!!!!!!!!!!!!!=="), 400, "16 bytes in base64", [2]string{}},
		{"a foreign origin", set("Origin", "http://evil.example"), 403, "This origin may not connect.", [2]string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opts, log := logged()
			m, url := serve(t, wsmanager.Callbacks{}, opts, nil)
			req := wstest.Request(t, url+"/ws?secret=x")
			tt.modify(req)
			c := handshakeOver(t, req, nil)
			require.Equal(t, tt.status, c.Response.StatusCode)
			if tt.header[0] != "" {
				require.Equal(t, tt.header[1], c.Response.Header.Get(tt.header[0]))
			}
			if tt.status == 101 {
				require.Equal(t, wstest.Accept, c.Response.Header.Get("Sec-WebSocket-Accept"))
				return
			}
			body, err := io.ReadAll(c.Response.Body)
			require.NoError(t, err)
			require.Contains(t, string(body), tt.body)
			require.Zero(t, m.All().Len())
			rec := log.record(t, 0)
			require.Equal(t, "no-store", c.Response.Header.Get("Cache-Control"))
			require.Equal(t, "websocket refused", rec["msg"])
			require.EqualValues(t, tt.status, inGroup(rec, "response", "status"))
			require.Equal(t, "/ws", inGroup(rec, "request", "path"), "without the query")
			require.NotEmpty(t, rec["err"])
			level := "INFO"
			if tt.status == 403 {
				level = "WARN"
			}
			require.Equal(t, level, rec["level"])
		})
	}
}

func TestOnAccept(t *testing.T) { onEachDriver(t, testOnAccept) }

func testOnAccept(t *testing.T) {
	for _, tt := range []struct {
		name   string
		accept wsmanager.Accept
		err    error
		status int
		body   string
		level  string
	}{
		{"accepts", wsmanager.Accept{Subprotocol: "v2", Header: http.Header{"Set-Cookie": {"a=1", "b=2"}}}, nil, 101, "", ""},
		{"rejects", wsmanager.Accept{}, wsmanager.Reject(401, "Log in first."), 401, "Log in first.\n", "INFO"},
		{"rejects, wrapped", wsmanager.Accept{}, fmt.Errorf("for the log: %w", wsmanager.Reject(403, "Not you.")), 403, "Not you.\n", "WARN"},
		{"fails", wsmanager.Accept{}, errors.New("the database at 10.1.2.3 is down"), 500, "The server failed to accept the connection.\n", "ERROR"},
		{"a sub-protocol that was not offered", wsmanager.Accept{Subprotocol: "v9"}, nil, 500, "The server failed to accept the connection.\n", "ERROR"},
		{"a hop-by-hop header", wsmanager.Accept{Header: http.Header{"connection": {"close"}}}, nil, 500, "The server failed to accept the connection.\n", "ERROR"},
		{"an upgrade to something else", wsmanager.Accept{Header: http.Header{"Upgrade": {"h2c"}}}, nil, 500, "The server failed to accept the connection.\n", "ERROR"},
		{"a header of the handshake", wsmanager.Accept{Header: http.Header{"sec-websocket-accept": {"x"}}}, nil, 500, "The server failed to accept the connection.\n", "ERROR"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opts, log := logged()
			m, url := serve(t, wsmanager.Callbacks{
				OnAccept: func(*http.Request) (wsmanager.Accept, error) { return tt.accept, tt.err },
			}, opts, nil)
			req := wstest.Request(t, url)
			req.Header["Sec-Websocket-Protocol"] = []string{"v1, v2", "v3"}
			c := handshakeOver(t, req, nil)
			require.Equal(t, tt.status, c.Response.StatusCode)
			if tt.status == 101 {
				require.Equal(t, "v2", c.Response.Header.Get("Sec-WebSocket-Protocol"))
				require.Equal(t, []string{"a=1", "b=2"}, c.Response.Header["Set-Cookie"])
				require.Equal(t, "v2", onlyConn(t, m).Subprotocol())
				return
			}
			body, err := io.ReadAll(c.Response.Body)
			require.NoError(t, err)
			require.Equal(t, tt.body, string(body))
			rec := log.record(t, 0)
			require.Equal(t, tt.level, rec["level"])
			if tt.err != nil {
				require.Contains(t, rec["err"], tt.err.Error(), "the log has the full error")
			}
		})
	}
	require.Panics(t, func() { _ = wsmanager.Reject(200, "fine") })
}

func TestValue(t *testing.T) { onEachDriver(t, testValue) }

func testValue(t *testing.T) {
	type user struct{ name string }
	m, url := serve(t, wsmanager.Callbacks{
		OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
			return wsmanager.Accept{Value: user{r.URL.Query().Get("name")}}, nil
		},
	}, optionsWithoutLog(), nil)
	dialOver(t, url+"?name=ann", nil)
	u, ok := wsmanager.Value[user](onlyConn(t, m))
	require.True(t, ok)
	require.Equal(t, "ann", u.name)
	_, ok = wsmanager.Value[string](onlyConn(t, m))
	require.False(t, ok)
}

// A client that sees the WebSocket open receives every broadcast from then on.
func TestRegisteredBeforeTheHandshakeIsWritten(t *testing.T) {
	onEachDriver(t, testRegisteredBeforeTheHandshakeIsWritten)
}

func testRegisteredBeforeTheHandshakeIsWritten(t *testing.T) {
	m, url := serve(t, wsmanager.Callbacks{}, optionsWithoutLog(), nil)
	for range 200 {
		c := dialOver(t, url, nil)
		require.Equal(t, wsmanager.Sent{Queued: 1}, m.Broadcast(wsmanager.Text("news")))
		c.ExpectText("news")
		c.SendClose(1000, "")
		c.ExpectClose(1000)
		for m.All().Len() > 0 { // OnClose has not run yet
			time.Sleep(time.Millisecond)
		}
	}
}

func TestEarlyFrames(t *testing.T) { onEachDriver(t, testEarlyFrames) }

func testEarlyFrames(t *testing.T) {
	j := newJournal()
	_, url := serve(t, recordingCallbacks(j), optionsWithoutLog(), nil)
	early := append(wstest.Frame(ws.OpText, true, []byte("one")), wstest.Frame(ws.OpText, true, []byte("two"))...)
	half := wstest.Frame(ws.OpText, true, []byte("three"))
	c := handshakeOver(t, wstest.Request(t, url), append(early, half[:4]...))
	c.ExpectText("one")
	c.ExpectText("two")
	c.SendRaw(half[4:])
	c.ExpectText("three")
	require.Equal(t, []string{"connect", `text "one"`, `text "two"`, `text "three"`}, j.all())
}

// HTTP/1.0 has no Upgrade, even if its headers ask for one (RFC 6455, section 4.1).
func TestHandshakeOverHTTP10(t *testing.T) { onSocketDrivers(t, testHandshakeOverHTTP10) }

func testHandshakeOverHTTP10(t *testing.T) {
	m, url := serve(t, wsmanager.Callbacks{}, optionsWithoutLog(), nil)
	req := wstest.Request(t, url)
	var text bytes.Buffer
	require.NoError(t, req.Write(&text))
	conn, err := net.Dial("tcp", req.URL.Host)
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write(bytes.Replace(text.Bytes(), []byte("HTTP/1.1"), []byte("HTTP/1.0"), 1))
	require.NoError(t, err)
	require.NoError(t, conn.SetDeadline(time.Now().Add(wstest.Patience)))
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Regexp(t, "^HTTP/1.[01] 400 ", string(answer))
	require.Contains(t, string(answer), "needs HTTP/1.1")
	require.Zero(t, m.All().Len())
}

// unwrapOnly hides every optional interface of w. Only Unwrap leads to them.
type unwrapOnly struct{ w http.ResponseWriter }

func (u unwrapOnly) Header() http.Header         { return u.w.Header() }
func (u unwrapOnly) Write(p []byte) (int, error) { return u.w.Write(p) }
func (u unwrapOnly) WriteHeader(code int)        { u.w.WriteHeader(code) }
func (u unwrapOnly) Unwrap() http.ResponseWriter { return u.w }

// The handshake response is written through w: outer middleware sees it, and the headers
// that it set are sent.
func TestBelowWrappers(t *testing.T) { onEachDriver(t, testBelowWrappers) }

func testBelowWrappers(t *testing.T) {
	_, url := serve(t, recordingCallbacks(newJournal()), optionsWithoutLog(), func(m *wsmanager.Manager) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Request-Id", "abc")
			w.Header().Add("Set-Cookie", "seen=1")
			m.ServeHTTP(unwrapOnly{unwrapOnly{w}}, r)
		})
	})
	c := dialOver(t, url, nil)
	require.Equal(t, "abc", c.Response.Header.Get("X-Request-Id"))
	require.Equal(t, "seen=1", c.Response.Header.Get("Set-Cookie"))
	c.SendText("hello")
	c.ExpectText("hello")
}

func TestBelowAWriterThatCannotHijack(t *testing.T) {
	onEachDriver(t, testBelowAWriterThatCannotHijack)
}

func testBelowAWriterThatCannotHijack(t *testing.T) {
	opts, log := logged()
	m, url := serve(t, wsmanager.Callbacks{}, opts, func(m *wsmanager.Manager) http.Handler {
		return http.TimeoutHandler(m, time.Minute, "")
	})
	c := handshakeOver(t, wstest.Request(t, url), nil)
	require.Equal(t, 500, c.Response.StatusCode)
	rec := log.record(t, 0)
	require.Equal(t, "ERROR", rec["level"])
	require.Contains(t, rec["err"], "*http.timeoutWriter")
	require.Zero(t, m.All().Len())
}

// If outer middleware panics when the 101 is written, the Manager keeps no trace of the
// connection.
func TestPanicInWriteHeader(t *testing.T) { onEachDriver(t, testPanicInWriteHeader) }

func testPanicInWriteHeader(t *testing.T) {
	m, url := serve(t, wsmanager.Callbacks{}, optionsWithoutLog(), func(m *wsmanager.Manager) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() { _ = recover(); http.Error(w, "sorry", 500) }()
			m.ServeHTTP(panicky{w}, r)
		})
	})
	require.Equal(t, 500, handshakeOver(t, wstest.Request(t, url), nil).Response.StatusCode)
	require.Zero(t, m.All().Len())
	require.NoError(t, m.Shutdown(t.Context()), "no handshake is counted as running")
}

type panicky struct{ http.ResponseWriter }

func (panicky) WriteHeader(int)               { panic("not this one") }
func (p panicky) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func TestMiddlewareForm(t *testing.T) { onEachDriver(t, testMiddlewareForm) }

func testMiddlewareForm(t *testing.T) {
	needH1(t, "HTTP/2 has no key; see TestStreamRefusals")
	_, url := serve(t, recordingCallbacks(newJournal()), optionsWithoutLog(), func(m *wsmanager.Manager) http.Handler {
		return m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a page") }))
	})
	res, err := http.Get(url)
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, "a page", string(body))
	http.DefaultClient.CloseIdleConnections()

	c := dialOver(t, url, nil)
	c.SendText("hello")
	c.ExpectText("hello")

	req := wstest.Request(t, url)
	req.Header.Del("Sec-WebSocket-Key")
	require.Equal(t, 400, handshakeOver(t, req, nil).Response.StatusCode, "a bad handshake is not passed on")
}

func TestOverHTTP2(t *testing.T) {
	m := wsmanager.MustNew(wsmanager.Callbacks{}, optionsWithoutLog())
	srv := httptest.NewUnstartedServer(m)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	res, err := srv.Client().Get(srv.URL)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, 2, res.ProtoMajor)
	require.Equal(t, 426, res.StatusCode)
}

func TestOverTLS(t *testing.T) { onSocketDrivers(t, testOverTLS) }

func testOverTLS(t *testing.T) {
	j := newJournal()
	m := wsmanager.MustNew(recordingCallbacks(j), onDriver(t, optionsWithoutLog()))
	srv := httptest.NewUnstartedServer(m)
	srv.StartTLS()
	defer srv.Close()
	for _, tt := range []struct {
		name string
		end  func(*wstest.Client)
		want string
	}{
		{"the peer closes", func(c *wstest.Client) { c.SendClose(1000, "bye"); c.ExpectClose(1000) }, "close: <nil>"},
		{"a bad frame", func(c *wstest.Client) { c.SendRaw([]byte{0x83, 0x80, 0, 0, 0, 0}); c.ExpectClose(1002) }, "close: wsmanager: closed here with 1002: use of reserved op code"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := tls.Dial("tcp", srv.Listener.Addr().String(), &tls.Config{RootCAs: srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com"})
			require.NoError(t, err)
			c := wstest.HandshakeOn(t, conn, wstest.Request(t, srv.URL), nil)
			require.Equal(t, 101, c.Response.StatusCode)
			require.NotNil(t, onlyConn(t, m).TLS())
			for range 50 {
				c.SendText(repeat("x", 1000))
				c.ExpectText(repeat("x", 1000))
			}
			n := len(j.all())
			tt.end(c)
			require.Equal(t, tt.want, j.await(t, n+1)[n])
		})
	}
	require.NoError(t, m.Shutdown(t.Context()))
}

// If Shutdown overtakes a handshake, the client gets a plain 503 without the headers of the
// 101.
func TestShutdownDuringAHandshake(t *testing.T) { onEachDriverAtOnce(t, testShutdownDuringAHandshake) }

func testShutdownDuringAHandshake(t *testing.T) {
	accepting, proceed := make(chan struct{}), make(chan struct{})
	m, url := serve(t, wsmanager.Callbacks{OnAccept: func(*http.Request) (wsmanager.Accept, error) {
		close(accepting)
		<-proceed
		return wsmanager.Accept{Header: http.Header{"Set-Cookie": {"session=secret"}}}, nil
	}}, optionsWithoutLog(), nil)
	ended := make(chan error, 1)
	go func() {
		<-accepting
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		ended <- m.Shutdown(ctx) // also waits for the handshake
		close(proceed)
	}()
	c := handshakeOver(t, wstest.Request(t, url), nil)
	require.Equal(t, 503, c.Response.StatusCode)
	require.Empty(t, c.Response.Header.Get("Set-Cookie"))
	require.Empty(t, c.Response.Header.Get("Sec-WebSocket-Accept"))
	require.ErrorContains(t, <-ended, "1 callbacks have not returned")
	require.Zero(t, m.All().Len())
	require.NoError(t, m.Shutdown(t.Context()))
}

// Rejection returns the arguments of Reject, also from a wrapped error.
func TestRejection(t *testing.T) {
	status, text, ok := wsmanager.Rejection(fmt.Errorf("outside: %w", wsmanager.Reject(http.StatusTeapot, "Short and stout.")))
	require.True(t, ok)
	require.Equal(t, http.StatusTeapot, status)
	require.Equal(t, "Short and stout.", text)
	for _, err := range []error{nil, io.EOF} {
		_, _, ok = wsmanager.Rejection(err)
		require.False(t, ok)
	}
}
