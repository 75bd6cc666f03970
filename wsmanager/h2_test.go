package wsmanager_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// once runs a test that brings its own HTTP/2 in the run over HTTP/2 only: the others
// change nothing about it.
func once(t *testing.T) {
	t.Helper()
	if !overH2 {
		t.Skip("runs with HTTP/2")
	}
}

func TestStreamHandshake(t *testing.T) {
	once(t)
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
			w.Header().Set("Content-Length", "5") // of a component that takes it for a page
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
		"sec-websocket-key", "is of no use here")
	got := c.answer(id)
	delete(got, "date")
	require.Equal(t, map[string]string{
		":status": "200", "x-above": "there", "set-cookie": "a=1", "sec-websocket-protocol": "v2",
		"sec-websocket-extensions": "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
	}, got)
	r := <-seen
	require.Equal(t, "CONNECT", r.Method)
	require.Equal(t, "/chat?room=1", r.RequestURI)
	conn := only(t, m)
	require.Equal(t, "v2", conn.Subprotocol())
	require.Equal(t, c.conn.LocalAddr().String(), conn.RemoteAddr().String())
	require.Equal(t, wsmanager.Sent{Queued: 1}, m.SendUser("ann", wsmanager.Text("for ann")))
	c.expectText(id, "for ann")
	c.text(id, "hello")
	c.expectText(id, "hello")
	s := m.Stats()
	require.EqualValues(t, 1, s.Accepted)
	require.EqualValues(t, 1, s.Compressed.Accepted)
}

func TestStreamRefusals(t *testing.T) {
	once(t)
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
		{name: "CONNECT alone", headers: []string{":protocol", "", ":scheme", "", ":path", ""}, status: "426", refused: wsmanager.Refused{NotWebSocket: 1}, log: "asks for no WebSocket"},
		{name: "GET", headers: []string{":protocol", "", ":method", "GET"}, end: true, status: "426", refused: wsmanager.Refused{NotWebSocket: 1}, log: "asks for no WebSocket"},
		{name: "a foreign origin", headers: []string{"origin", "https://evil.example"}, status: "403", refused: wsmanager.Refused{Origin: 1}, log: "the origin"},
		{name: "rejected", headers: []string{"x-do", "reject"}, status: "401", refused: wsmanager.Refused{Rejected: 1}, log: "Log in first"},
		{name: "failed", headers: []string{"x-do", "fail"}, status: "500", refused: wsmanager.Refused{Failed: 1}, log: "the database"},
		{name: "a header of the handshake", headers: []string{"x-do", "header"}, status: "500", refused: wsmanager.Refused{Failed: 1}, log: "belongs to the handshake"},
		{name: "too many", headers: []string{"x-do", "another"}, options: one, status: "503", refused: wsmanager.Refused{Limit: 1}, log: "there are 1 connections"},
		{name: "the event loop", options: func(o *wsmanager.Options) { o.Driver = wsmanager.DriverEventLoop }, status: "500", refused: wsmanager.Refused{Failed: 1}, log: "can't serve HTTP/2"},
		{name: "TimeoutHandler", above: func(h http.Handler) http.Handler { return http.TimeoutHandler(h, time.Minute, "") }, status: "500", refused: wsmanager.Refused{Failed: 1}, log: "http.TimeoutHandler is the usual reason"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opts, log := logged()
			if tt.options != nil {
				tt.options(&opts)
			}
			if opts.Driver == wsmanager.DriverEventLoop && !wsmanager.HasLoops() {
				t.Skip("there is no event loop on this system")
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
			c.ping() // the connection is well
		})
	}
}

// Requests that ask for no WebSocket are passed on, those that ask badly are not.
func TestStreamMiddlewareForm(t *testing.T) {
	once(t)
	_, url := serve(t, wsmanager.Callbacks{}, quiet(), func(m *wsmanager.Manager) http.Handler {
		return m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(299) }))
	})
	c := dialRaw(t, url)
	require.Equal(t, "299", c.answer(c.ask("/", true, ":method", "GET", ":protocol", ""))[":status"])
	require.Equal(t, "299", c.answer(c.ask("/", false, ":protocol", "connect-udp"))[":status"])
	require.Equal(t, "400", c.answer(c.ask("/", false, "sec-websocket-version", "8"))[":status"])
	c.open()
}

// A CONNECT over HTTP/1.1 asks for no WebSocket, and can't pretend to.
func TestConnectOverHTTP1(t *testing.T) {
	once(t)
	m, url := serve(t, wsmanager.Callbacks{}, quiet(), nil)
	for request, status := range map[string]int{
		"CONNECT / HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Version: 13\r\n\r\n":                         426,
		"CONNECT / HTTP/1.1\r\nHost: x\r\n:protocol: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n": 400, // net/http's
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

// How a WebSocket ends, and what its stream says of it (RFC 8441, section 5).
func TestStreamEnds(t *testing.T) {
	once(t)
	no, internal := http2.ErrCodeNo, http2.ErrCodeInternal
	closing := func(code int, reason string) string {
		return string(ws.MustCompileFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusCode(code), reason))))
	}
	normal := wstest.Frame(ws.OpClose, true, ws.NewCloseFrameBody(1000, ""))
	for _, tt := range []struct {
		name  string
		do    func(c *rawH2, id uint32, conn *wsmanager.Conn)
		want  ended // "" for data: any
		err   string
		after time.Duration
	}{
		{"the client closes, and ends its stream", func(c *rawH2, id uint32, _ *wsmanager.Conn) { c.data(id, normal, true) },
			ended{closing(1000, ""), true, nil}, "<nil>", 0},
		{"the client closes", func(c *rawH2, id uint32, _ *wsmanager.Conn) { c.data(id, normal, false) },
			ended{closing(1000, ""), true, &no}, "<nil>", 0},
		{"the server closes", func(c *rawH2, id uint32, conn *wsmanager.Conn) {
			require.NoError(c.t, conn.Close(4000, "bye"))
			require.Equal(c.t, ws.OpClose, c.message(id).Header.OpCode)
			c.data(id, wstest.Frame(ws.OpClose, true, ws.NewCloseFrameBody(4000, "")), true)
		}, ended{"", true, nil}, `wsmanager: closed here with 4000 ("bye")`, 0},
		{"the server closes, the client only ends its stream", func(c *rawH2, id uint32, conn *wsmanager.Conn) {
			require.NoError(c.t, conn.Close(4000, ""))
			require.Equal(c.t, ws.OpClose, c.message(id).Header.OpCode)
			c.data(id, nil, true)
		}, ended{"", true, nil}, "wsmanager: closed here with 4000", 0},
		{"the server closes, the client does not answer", func(c *rawH2, id uint32, conn *wsmanager.Conn) {
			require.NoError(c.t, conn.Close(4000, ""))
			require.Equal(c.t, ws.OpClose, c.message(id).Header.OpCode)
		}, ended{"", true, &no}, "wsmanager: closed here with 4000", 5 * time.Second},
		{"the client ends its stream without a close frame", func(c *rawH2, id uint32, _ *wsmanager.Conn) { c.data(id, nil, true) },
			ended{"", true, nil}, "wsmanager: closed by the peer with 1006: unexpected EOF", 0},
		{"in the middle of a frame", func(c *rawH2, id uint32, _ *wsmanager.Conn) { c.data(id, []byte{0x81}, true) },
			ended{"", true, nil}, "wsmanager: closed by the peer with 1006: unexpected EOF", 0},
		{"a protocol error", func(c *rawH2, id uint32, _ *wsmanager.Conn) { c.data(id, []byte{0xff, 0xff}, false) },
			ended{closing(1002, ""), true, &no}, "wsmanager: closed here with 1002", 0},
		{"a panic", func(c *rawH2, id uint32, _ *wsmanager.Conn) { c.text(id, "panic") },
			ended{closing(1011, ""), true, &no}, "wsmanager: closed here with 1011", 0},
		{"a write that can't go on", func(c *rawH2, id uint32, conn *wsmanager.Conn) {
			require.NoError(c.t, conn.Send(wsmanager.Binary(make([]byte, 65536)))) // the window has 65,535 bytes
		}, ended{"", false, &internal}, "wsmanager: closed here with 1006: wsmanager: a write made no progress in time", 10 * time.Second},
		{"Close while a write can't go on", func(c *rawH2, id uint32, conn *wsmanager.Conn) {
			require.NoError(c.t, conn.Send(wsmanager.Binary(make([]byte, 65536))))
			require.NoError(c.t, conn.Close(4000, ""))
		}, ended{"", false, &internal}, "wsmanager: closed here with 4000", 5 * time.Second},
		{"Close when nothing was taken for a second", func(c *rawH2, id uint32, conn *wsmanager.Conn) {
			require.NoError(c.t, conn.Send(wsmanager.Binary(make([]byte, 65536))))
			time.Sleep(2 * time.Second)
			require.NoError(c.t, conn.Close(4000, ""))
		}, ended{"", false, &internal}, "wsmanager: closed here with 4000", 2 * time.Second},
		{"an outbox that runs over", func(c *rawH2, id uint32, conn *wsmanager.Conn) {
			var err error
			for err == nil {
				err = conn.Send(wsmanager.Binary(make([]byte, 65536)))
			}
			require.ErrorIs(c.t, err, wsmanager.ErrOutboxFull)
		}, ended{"", false, &internal}, "wsmanager: closed here with 1013: wsmanager: the peer reads too slowly", 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := newJournal()
				m := wsmanager.MustNew(wsmanager.Callbacks{
					OnMessage: func(*wsmanager.Conn, wsmanager.Message) error { panic("oops") },
					OnClose:   func(_ *wsmanager.Conn, err error) { j.note("%v", err) },
				}, quiet())
				c := inBubble(t, &http.Server{Handler: m})
				id := c.open()
				conn := only(t, m)
				begin := time.Now()
				tt.do(c, id, conn)
				e := c.end(id, tt.want.Reset != nil)
				if tt.want.Data != "" {
					require.Equal(t, tt.want.Data, e.Data)
				}
				e.Data, tt.want.Data = "", ""
				require.Equal(t, tt.want, e)
				require.InDelta(t, tt.after.Seconds(), time.Since(begin).Seconds(), 0.7, "the wheel turns in steps")
				require.True(t, strings.HasPrefix(j.await(t, 1)[0], tt.err), j.all()[0])
				require.NoError(t, m.Shutdown(t.Context()))
				c.ping() // the connection is well
			})
		})
	}
}

// A client that resets its stream, or vanishes, is seen, and nothing else ends.
func TestStreamReset(t *testing.T) {
	once(t)
	j := newJournal()
	m, url := serve(t, noting(j), quiet(), nil)
	c := dialRaw(t, url)
	bystander := c.open()
	id := c.open()
	require.Equal(t, wsmanager.Sent{Queued: 2}, m.Broadcast(wsmanager.Text("x")))
	c.expectText(bystander, "x")
	require.NoError(t, c.fr.WriteRSTStream(id, http2.ErrCodeCancel))
	require.Equal(t, "close: wsmanager: closed by the peer with 1006: stream error: stream ID 3; CANCEL", j.await(t, 3)[2])
	c.text(bystander, "still here")
	c.expectText(bystander, "still here")
	require.Equal(t, 1, m.Len())
	require.NoError(t, c.conn.Close())
	require.Equal(t, "close: wsmanager: closed by the peer with 1006: client disconnected", j.await(t, 5)[4])
	require.NoError(t, m.Shutdown(t.Context()))
}

// A GOAWAY of the client's ends no WebSocket.
func TestClientGoesAway(t *testing.T) {
	once(t)
	m, url := serve(t, noting(newJournal()), quiet(), nil)
	c := dialRaw(t, url)
	id := c.open()
	require.NoError(t, c.fr.WriteGoAway(0, http2.ErrCodeNo, nil))
	for range 3 {
		c.text(id, "on it goes")
		c.expectText(id, "on it goes")
	}
	require.True(t, c.goAway, "net/http answers with its own")
	c.data(id, wstest.Frame(ws.OpClose, true, nil), true)
	require.Equal(t, ended{"\x88\x00", true, nil}, c.end(id, false))
	require.NoError(t, m.Shutdown(t.Context()))
}

// Manager.Shutdown closes streams with 1001; http.Server.Shutdown waits for them, and
// tells the client to go.
func TestShutdownWithStreams(t *testing.T) {
	once(t)
	j := newJournal()
	m := wsmanager.MustNew(noting(j), quiet())
	srv := start(t, m, func(*httptest.Server) {})
	c := dialRaw(t, srv.URL)
	a, b := c.open(), c.open()
	served := make(chan error, 1)
	go func() { served <- srv.Config.Shutdown(t.Context()) }()
	for !c.goAway {
		c.frame(0)
	}
	c.text(a, "meanwhile")
	c.expectText(a, "meanwhile")
	select {
	case err := <-served:
		t.Fatal("the server has not waited: ", err)
	default:
	}
	done := make(chan error, 1)
	go func() { done <- m.Shutdown(t.Context()) }()
	goingAway := "\x88\x02\x03\xe9"
	for range 2 {
		var f *http2.DataFrame
		for f == nil {
			f, _ = c.frame(0).(*http2.DataFrame)
		}
		require.Contains(t, []uint32{a, b}, f.StreamID)
		require.Equal(t, goingAway, string(f.Data()))
	}
	for _, id := range []uint32{a, b} {
		c.data(id, wstest.Frame(ws.OpClose, true, []byte("\x03\xe9")), true)
		require.Equal(t, ended{"", true, nil}, c.end(id, false))
	}
	require.NoError(t, <-done)
	require.NoError(t, <-served)
}

// What Shutdown has to cut, it cuts: streams of clients that don't answer, and those
// that don't even read.
func TestShutdownCutsStreams(t *testing.T) {
	once(t)
	opts := quiet()
	opts.CloseTimeout = time.Hour
	m, url := serve(t, wsmanager.Callbacks{}, opts, nil)
	c := dialRaw(t, url)
	require.NoError(t, c.fr.WriteWindowUpdate(0, 1<<20)) // the connection's
	stuck := c.open()
	conn := only(t, m)
	idle := c.open()
	require.NoError(t, conn.Send(wsmanager.Binary(make([]byte, 65536)))) // more than the stream's
	for got := 0; got < 65535; {                                         // the write has begun
		if f, ok := c.frame(stuck).(*http2.DataFrame); ok {
			got += len(f.Data())
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorContains(t, m.Shutdown(ctx), "connections were cut: context deadline exceeded")
	ends := map[uint32]string{}
	for len(ends) < 2 {
		switch f := c.frame(0).(type) {
		case *http2.DataFrame:
			if f.StreamEnded() {
				ends[f.StreamID] = "END_STREAM"
			}
		case *http2.RSTStreamFrame:
			if ends[f.StreamID] == "" {
				ends[f.StreamID] = f.ErrCode.String()
			}
		}
	}
	require.Equal(t, map[uint32]string{idle: "END_STREAM", stuck: "INTERNAL_ERROR"}, ends)
	c.ping()
}

// Messages to a client that takes none on one stream wait there, and hold up no other.
func TestStalledStream(t *testing.T) {
	once(t)
	m, url := serve(t, noting(newJournal()), quiet(), nil)
	c := dialRaw(t, url)
	require.NoError(t, c.fr.WriteWindowUpdate(0, 16<<20)) // the connection's
	stalled := c.open()
	slow := only(t, m)
	brisk := c.open()
	big := repeat("x", 60_000)
	for range 10 { // more than the stream's window
		require.NoError(t, slow.Send(wsmanager.Text(big)))
		c.text(brisk, big)
		c.text(brisk, "hello")
		got := 0
		for got < len(big) {
			f := c.frame(0)
			if d, ok := f.(*http2.DataFrame); ok && d.StreamID == brisk {
				got += len(d.Data())
			}
		}
		require.NoError(t, c.fr.WriteWindowUpdate(brisk, 1<<17))
	}
	// It gets all, in order, when it takes it.
	require.NoError(t, c.fr.WriteWindowUpdate(stalled, 1<<20))
	require.NoError(t, slow.Send(wsmanager.Text("the last")))
	got := ""
	for !strings.HasSuffix(got, "the last") {
		if d, ok := c.frame(stalled).(*http2.DataFrame); ok {
			got += string(d.Data())
		}
	}
}

// What a client sends to a callback that blocks waits in net/http, up to the stream's
// window. As that is as big as the connection's, unless the server is told otherwise,
// one such stream can hold up what the client sends on the others.
func TestBlockedCallbackAndTheConnectionsWindow(t *testing.T) {
	once(t)
	for _, roomy := range []bool{false, true} {
		t.Run(map[bool]string{false: "as it is", true: "with a bigger window"}[roomy], func(t *testing.T) {
			release := make(chan struct{})
			m := wsmanager.MustNew(wsmanager.Callbacks{OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
				if m.Type == wsmanager.BinaryMessage {
					<-release
					return nil
				}
				return c.Send(m)
			}}, quiet())
			srv := start(t, m, func(srv *httptest.Server) {
				if roomy {
					srv.Config.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerConnection: 4 << 20, MaxReceiveBufferPerStream: 1 << 20}
				}
			})
			defer close(release)
			c := dialRaw(t, srv.URL)
			blocked, other := c.open(), c.open()
			stream := int(c.server[http2.SettingInitialWindowSize])
			connection := 65535 + int(c.window)
			require.Equal(t, 1<<20, stream)
			if !roomy {
				require.Equal(t, stream, connection, "net/http's defaults")
			}
			// The whole of the stream's window. What the callback has read for itself, a
			// buffer or two, comes back.
			frame := wstest.Frame(ws.OpBinary, true, make([]byte, 16376)) // 16 KiB with its header
			for range stream / len(frame) {
				c.data(blocked, frame, false)
			}
			hello := wstest.Frame(ws.OpText, true, []byte("hello"))
			back := 0
			require.NoError(t, c.fr.WritePing(false, [8]byte{2}))
			for answered := false; !answered; {
				switch f := c.frame(0).(type) {
				case *http2.WindowUpdateFrame:
					if f.StreamID == 0 {
						back += int(f.Increment)
					}
				case *http2.PingFrame:
					answered = f.IsAck()
				}
			}
			left := connection - stream/len(frame)*len(frame) + back
			if !roomy {
				require.Less(t, left, 40<<10, "next to nothing is left for the others")
				return
			}
			require.Greater(t, left, 2<<20)
			c.data(other, hello, false)
			c.expectText(other, "hello")
		})
	}
}

// Many WebSockets over one connection, up to the server's limit of streams.
func TestManyStreams(t *testing.T) {
	once(t)
	j := newJournal()
	m := wsmanager.MustNew(wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) },
		OnClose:   func(*wsmanager.Conn, error) { j.note("closed") },
	}, quiet())
	srv := start(t, m, func(srv *httptest.Server) {
		srv.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 100}
	})
	c := dialRaw(t, srv.URL)
	require.EqualValues(t, 100, c.server[http2.SettingMaxConcurrentStreams])
	var ids []uint32
	for range 100 {
		ids = append(ids, c.open())
	}
	require.Equal(t, 100, m.Len())
	for i, id := range ids {
		c.text(id, fmt.Sprint(i))
	}
	got := map[uint32]string{}
	for len(got) < len(ids) {
		if d, ok := c.frame(0).(*http2.DataFrame); ok {
			got[d.StreamID] = string(d.Data()[2:])
		}
	}
	for i, id := range ids {
		require.Equal(t, fmt.Sprint(i), got[id])
	}
	require.Equal(t, wsmanager.Sent{Queued: 100}, m.Broadcast(wsmanager.Text("all")))
	clear(got)
	for len(got) < len(ids) {
		if d, ok := c.frame(0).(*http2.DataFrame); ok {
			require.Equal(t, "\x81\x03all", string(d.Data()))
			got[d.StreamID] = "all"
		}
	}
	over := c.ask("/", false)
	reset, ok := c.frame(over).(*http2.RSTStreamFrame)
	require.True(t, ok)
	require.Contains(t, []http2.ErrCode{http2.ErrCodeProtocol, http2.ErrCodeRefusedStream}, reset.ErrCode)
	require.NoError(t, c.fr.WriteRSTStream(ids[0], http2.ErrCodeCancel))
	j.await(t, 1)
	require.Eventually(t, func() bool { // its handler returns a little later
		id := c.ask("/", false)
		_, refused := c.frame(id).(*http2.RSTStreamFrame)
		return !refused
	}, wstest.Patience, time.Millisecond)
}

// The time-outs of the server are for requests.
func TestStreamOutlivesTheServersTimeouts(t *testing.T) {
	once(t)
	synctest.Test(t, func(t *testing.T) {
		m := wsmanager.MustNew(noting(newJournal()), quiet())
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

// inBubble serves HTTP/2 in a bubble and connects to it.
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

// A component above that sets a read deadline ends the connection with it, and
// nothing else.
func TestStreamWithAForeignDeadline(t *testing.T) {
	once(t)
	j := newJournal()
	set := make(chan func() error, 1)
	_, url := serve(t, noting(j), quiet(), func(m *wsmanager.Manager) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			set <- func() error { return http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) }
			m.ServeHTTP(w, r)
		})
	})
	c := dialRaw(t, url)
	id := c.open()
	j.await(t, 1)
	require.NoError(t, (<-set)())
	require.True(t, c.end(id, true).Clean)
	require.Equal(t, "close: wsmanager: closed by the peer with 1006: wsmanager: the read was interrupted", j.await(t, 2)[1])
}

// lentWriter is net/http's writer, and sees whether anything uses it when the handler
// has returned.
type lentWriter struct {
	w        http.ResponseWriter
	returned atomic.Bool
	late     *atomic.Int64
}

func (l *lentWriter) check() {
	if l.returned.Load() {
		l.late.Add(1)
	}
}
func (l *lentWriter) Header() http.Header         { l.check(); return l.w.Header() }
func (l *lentWriter) WriteHeader(status int)      { l.check(); l.w.WriteHeader(status) }
func (l *lentWriter) Write(p []byte) (int, error) { l.check(); defer l.check(); return l.w.Write(p) }
func (l *lentWriter) FlushError() error {
	l.check()
	defer l.check()
	return http.NewResponseController(l.w).Flush()
}
func (l *lentWriter) SetReadDeadline(at time.Time) error {
	l.check()
	defer l.check()
	return http.NewResponseController(l.w).SetReadDeadline(at)
}
func (l *lentWriter) SetWriteDeadline(at time.Time) error {
	l.check()
	defer l.check()
	return http.NewResponseController(l.w).SetWriteDeadline(at)
}

// However a stream ends, and whatever is being sent to it, its writer is left alone
// once the handler has returned: it may be another request's by then.
func TestNothingIsWrittenAfterTheHandlerReturned(t *testing.T) {
	once(t)
	var late atomic.Int64
	opts := quiet()
	opts.CloseTimeout, opts.WriteTimeout = 20*time.Millisecond, 20*time.Millisecond
	m, url := serve(t, wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) },
		OnClose:   func(c *wsmanager.Conn, _ error) { _ = c.Send(wsmanager.Text("too late")) },
	}, opts, func(m *wsmanager.Manager) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			l := &lentWriter{w: w, late: &late}
			defer l.returned.Store(true)
			m.ServeHTTP(l, r)
		})
	})
	stop := make(chan struct{})
	var senders sync.WaitGroup
	for range 2 {
		senders.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Microsecond): // the others need the processors as well
					m.Broadcast(wsmanager.Text(repeat("x", 5000)))
				}
			}
		})
	}
	for round := range 20 {
		c := dialRaw(t, url)
		accepted := m.Stats().Accepted
		var streams []uint32
		for range 10 {
			streams = append(streams, c.ask("/", false))
		}
		go func() { _, _ = io.Copy(io.Discard, c.conn) }() // not a frame is understood: the windows run out
		require.Eventually(t, func() bool { return m.Stats().Accepted >= accepted+5 }, wstest.Patience, time.Millisecond)
		for i, id := range streams {
			switch (i + round) % 5 {
			case 0:
				require.NoError(t, c.fr.WriteRSTStream(id, http2.ErrCodeCancel))
			case 1:
				c.data(id, wstest.Frame(ws.OpClose, true, nil), true)
			case 2:
				c.data(id, []byte{0xff, 0xff}, false)
			case 3:
				for conn := range m.All() {
					_ = conn.Close(4000, "")
					break
				}
			}
		}
		if round%2 == 0 {
			require.NoError(t, c.conn.Close())
		}
	}
	close(stop)
	senders.Wait()
	require.NoError(t, m.Shutdown(t.Context()))
	require.Zero(t, late.Load())
	require.Zero(t, m.Len())
}

func TestRequireHTTP2(t *testing.T) {
	_, err := wsmanager.New(wsmanager.Callbacks{}, wsmanager.Options{RequireHTTP2: true})
	require.NoError(t, err, "the tests import extendedconnect")
	if wsmanager.HasLoops() {
		_, err = wsmanager.New(wsmanager.Callbacks{}, wsmanager.Options{RequireHTTP2: true, Driver: wsmanager.DriverEventLoop})
		require.ErrorContains(t, err, "DriverEventLoop can't serve HTTP/2")
	}
	_, err = wsmanager.Dial(t.Context(), "ws://127.0.0.1:1", wsmanager.Callbacks{}, wsmanager.DialOptions{Options: wsmanager.Options{RequireHTTP2: true}})
	require.ErrorContains(t, err, "RequireHTTP2")
}

// A client that takes nothing from its connection can't even be told of a reset: what
// writes to it remains, until the connection ends. The application knows before.
func TestStalledConnection(t *testing.T) {
	once(t)
	for _, limited := range []bool{false, true} {
		t.Run(map[bool]string{false: "as it is", true: "WriteByteTimeout"}[limited], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := newJournal()
				m := wsmanager.MustNew(wsmanager.Callbacks{
					OnClose: func(_ *wsmanager.Conn, err error) { j.note("%v", err) },
				}, quiet())
				srv := &http.Server{Handler: m}
				if limited {
					srv.HTTP2 = &http.HTTP2Config{WriteByteTimeout: 30 * time.Second}
				}
				c := inBubble(t, srv)
				require.NoError(t, c.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 16 << 20}))
				require.NoError(t, c.fr.WriteWindowUpdate(0, 16<<20))
				c.open()
				conn := only(t, m)
				var err error
				for err == nil {
					err = conn.SendContext(t.Context(), wsmanager.Binary(make([]byte, 300<<10)))
				}
				require.ErrorIs(t, err, wsmanager.ErrClosed)
				synctest.Wait()
				require.Equal(t, []string{"wsmanager: closed here with 1006: wsmanager: a write made no progress in time"}, j.all())
				require.Zero(t, m.Len())
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				require.ErrorContains(t, m.Shutdown(ctx), "not all have ended")
				if !limited {
					require.NoError(t, c.conn.Close())
				}
				require.NoError(t, m.Shutdown(t.Context()))
			})
		})
	}
}
