package wsmanager_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestStreamHandshake(t *testing.T) { onStreams(t, testStreamHandshake) }

func testStreamHandshake(t *testing.T) {
	opts := compressing()
	seen := make(chan *http.Request, 1)
	m, url := serve(t, wsmanager.Callbacks{
		OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
			seen <- r
			return wsmanager.Accept{User: "ann", Subprotocol: "v2", Header: http.Header{"Set-Cookie": {"a=1"}}}, nil
		},
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) },
	}, opts, func(m *wsmanager.Manager) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Above", "there")
			w.Header().Set("Content-Length", "5") // set by a component that treats the response as a page
			w.Header().Set("Content-Encoding", "gzip")
			m.ServeHTTP(w, r)
		})
	})
	c := dialRaw(t, url)
	require.EqualValues(t, 1, c.server[http2.SettingEnableConnectProtocol])
	id := c.ask("/chat?room=1", false,
		"origin", "https://example.com",
		"sec-websocket-protocol", "v1, v2",
		"sec-websocket-extensions", "permessage-deflate",
		"sec-websocket-key", "ignored over HTTP/2")
	got := c.answer(id)
	delete(got, "date")
	require.Equal(t, map[string]string{
		":status": "200", "x-above": "there", "set-cookie": "a=1", "sec-websocket-protocol": "v2",
		"sec-websocket-extensions": "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
	}, got)
	r := <-seen
	require.Equal(t, "CONNECT", r.Method)
	require.Equal(t, "/chat?room=1", r.RequestURI)
	conn := onlyConn(t, m)
	require.Equal(t, "v2", conn.Subprotocol())
	require.Equal(t, c.conn.LocalAddr().String(), conn.RemoteAddr().String())
	require.Equal(t, wsmanager.Sent{Queued: 1}, m.Users("ann").Send(wsmanager.Text("for ann")))
	c.expectText(id, "for ann")
	c.text(id, "hello")
	c.expectText(id, "hello")
	s := m.Stats()
	require.EqualValues(t, 1, s.Accepted)
	require.EqualValues(t, 1, s.Compressed.Accepted)
}

func TestStreamRefusals(t *testing.T) { onStreams(t, testStreamRefusals) }

func testStreamRefusals(t *testing.T) {
	one := func(o *wsmanager.Options) { o.MaxConnections = 1 }
	for _, tt := range []struct {
		name    string
		headers []string
		end     bool
		options func(*wsmanager.Options)
		above   func(http.Handler) http.Handler
		status  string
		refused wsmanager.Refused
		log     string
	}{
		{name: "no version", headers: []string{"sec-websocket-version", ""}, status: "400", refused: wsmanager.Refused{Malformed: 1}, log: "the version is"},
		{name: "an old version", headers: []string{"sec-websocket-version", "8"}, status: "400", refused: wsmanager.Refused{Malformed: 1}, log: "the version is"},
		{name: "the stream has ended", end: true, status: "400", refused: wsmanager.Refused{Malformed: 1}, log: "ended its stream"},
		{name: "a body", headers: []string{"content-length", "5"}, status: "400", refused: wsmanager.Refused{Malformed: 1}, log: "has a body"},
		{name: "another protocol", headers: []string{":protocol", "connect-udp"}, status: "501", refused: wsmanager.Refused{NotWebSocket: 1}, log: `the protocol \"connect-udp\"`},
		{name: "another protocol, with Upgrade", headers: []string{":protocol", "connect-udp"}, status: "501", refused: wsmanager.Refused{NotWebSocket: 1}, log: "connect-udp"},
		{name: "CONNECT alone", headers: []string{":protocol", "", ":scheme", "", ":path", ""}, status: "426", refused: wsmanager.Refused{NotWebSocket: 1}, log: "does not ask for a WebSocket"},
		{name: "GET", headers: []string{":protocol", "", ":method", "GET"}, end: true, status: "426", refused: wsmanager.Refused{NotWebSocket: 1}, log: "does not ask for a WebSocket"},
		{name: "a foreign origin", headers: []string{"origin", "https://evil.example"}, status: "403", refused: wsmanager.Refused{Origin: 1}, log: "the origin"},
		{name: "rejected", headers: []string{"x-do", "reject"}, status: "401", refused: wsmanager.Refused{Rejected: 1}, log: "Log in first"},
		{name: "failed", headers: []string{"x-do", "fail"}, status: "500", refused: wsmanager.Refused{Failed: 1}, log: "the database"},
		{name: "a header of the handshake", headers: []string{"x-do", "header"}, status: "500", refused: wsmanager.Refused{Failed: 1}, log: "belongs to the handshake"},
		{name: "too many", headers: []string{"x-do", "another"}, options: one, status: "503", refused: wsmanager.Refused{Limit: 1}, log: "the limit of 1 connections is reached"},
		{name: "the event loop", options: func(o *wsmanager.Options) { o.Driver = wsmanager.DriverEventLoop }, status: "500", refused: wsmanager.Refused{Failed: 1}, log: "can't serve HTTP/2"},
		{name: "TimeoutHandler", above: func(h http.Handler) http.Handler { return http.TimeoutHandler(h, time.Minute, "") }, status: "500", refused: wsmanager.Refused{Failed: 1}, log: "http.TimeoutHandler is the usual reason"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opts, log := logged()
			if tt.options != nil {
				tt.options(&opts)
			}
			if opts.Driver == wsmanager.DriverEventLoop {
				needEpoll(t)
			}
			m, url := serve(t, wsmanager.Callbacks{OnAccept: func(r *http.Request) (a wsmanager.Accept, err error) {
				switch r.Header.Get("X-Do") {
				case "reject":
					err = wsmanager.Reject(401, "Log in first.")
				case "fail":
					err = errors.New("the database is down")
				case "header":
					a.Header = http.Header{"Sec-Websocket-Accept": {"x"}}
				}
				return a, err
			}}, opts, func(m *wsmanager.Manager) http.Handler {
				if tt.above == nil {
					return m
				}
				return tt.above(m)
			})
			c := dialRaw(t, url)
			if opts.MaxConnections == 1 {
				c.open()
			}
			id := c.ask("/ws?secret=x", tt.end, tt.headers...)
			got := c.answer(id)
			require.Equal(t, tt.status, got[":status"])
			if tt.status == "400" && !tt.end && len(tt.headers) > 0 && tt.headers[0] == "sec-websocket-version" {
				require.Equal(t, "13", got["sec-websocket-version"])
			}
			require.NotContains(t, got, "upgrade", "HTTP/2 has no such header")
			e := c.end(id, !tt.end)
			require.True(t, e.Clean)
			require.Equal(t, tt.refused, m.Stats().Refused)
			require.Contains(t, strings.Join(log.await(t, 1), "\n"), tt.log)
			c.ping() // the HTTP/2 connection still works
		})
	}
}

// Requests that do not ask for a WebSocket are passed on. Malformed handshakes are refused.
func TestStreamMiddlewareForm(t *testing.T) { onStreams(t, testStreamMiddlewareForm) }

func testStreamMiddlewareForm(t *testing.T) {
	_, url := serve(t, wsmanager.Callbacks{}, optionsWithoutLog(), func(m *wsmanager.Manager) http.Handler {
		return m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(299) }))
	})
	c := dialRaw(t, url)
	require.Equal(t, "299", c.answer(c.ask("/", true, ":method", "GET", ":protocol", ""))[":status"])
	require.Equal(t, "299", c.answer(c.ask("/", false, ":protocol", "connect-udp"))[":status"])
	require.Equal(t, "400", c.answer(c.ask("/", false, "sec-websocket-version", "8"))[":status"])
	c.open()
}

// A CONNECT over HTTP/1.1 does not ask for a WebSocket, and a forged :protocol header is
// refused.
func TestConnectOverHTTP1(t *testing.T) {
	m, url := serve(t, wsmanager.Callbacks{}, optionsWithoutLog(), nil)
	for request, status := range map[string]int{
		"CONNECT / HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Version: 13\r\n\r\n":                         426,
		"CONNECT / HTTP/1.1\r\nHost: x\r\n:protocol: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n": 400, // refused by net/http
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		require.NoError(t, err)
		_, err = io.WriteString(conn, request)
		require.NoError(t, err)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		require.Equal(t, status, res.StatusCode)
		require.NoError(t, conn.Close())
	}
	require.Zero(t, m.Stats().Accepted)
}

// The server's timeouts apply to requests and not to WebSockets.
func TestStreamOutlivesTheServersTimeouts(t *testing.T) {
	onStreams(t, testStreamOutlivesTheServersTimeouts)
}

func testStreamOutlivesTheServersTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wsmanager.MustNew(recordingCallbacks(newJournal()), optionsWithoutLog())
		const timeout = 5 * time.Second
		c := inBubble(t, &http.Server{Handler: m, ReadTimeout: timeout, WriteTimeout: timeout, IdleTimeout: timeout})
		id := c.open()
		for range 5 {
			time.Sleep(timeout)
			c.text(id, "x")
			c.expectText(id, "x")
		}
		c.data(id, wstest.Frame(ws.OpClose, true, nil), true)
		c.end(id, false)
	})
}

// inBubble serves HTTP/2 in a testing/synctest bubble and connects to it.
func inBubble(t *testing.T, srv *http.Server) *rawH2 {
	t.Helper()
	ln := wstest.Listen(1 << 20)
	wsmanager.SpeakH2(srv)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	conn, err := ln.Dial()
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		require.NoError(t, srv.Close())
		require.ErrorIs(t, <-served, http.ErrServerClosed)
	})
	return rawOn(t, conn)
}

func TestRequireHTTP2(t *testing.T) {
	_, err := wsmanager.New(wsmanager.Callbacks{}, wsmanager.Options{RequireHTTP2: true})
	require.NoError(t, err, "the tests import extendedconnect")
	if wsmanager.HasLoops() {
		_, err = wsmanager.New(wsmanager.Callbacks{}, wsmanager.Options{RequireHTTP2: true, Driver: wsmanager.DriverEventLoop})
		require.ErrorContains(t, err, "DriverEventLoop can't serve HTTP/2")
	}
}
