package wsmanager_test

import (
	"context"
	"net/http"
	"net/http/httptest"
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

// TestStreamEnds checks how a WebSocket ends and how its stream ends (RFC 8441, section 5).
func TestStreamEnds(t *testing.T) { onStreams(t, testStreamEnds) }

func testStreamEnds(t *testing.T) {
	no, internal := http2.ErrCodeNo, http2.ErrCodeInternal
	closing := func(code int, reason string) string {
		return string(ws.MustCompileFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusCode(code), reason))))
	}
	normal := wstest.Frame(ws.OpClose, true, ws.NewCloseFrameBody(1000, ""))
	for _, tt := range []struct {
		name  string
		do    func(c *rawH2, id uint32, conn *wsmanager.Conn)
		want  streamEnd // with "" as data: any data
		err   string
		after time.Duration
	}{
		{"the client closes, and ends its stream", func(c *rawH2, id uint32, _ *wsmanager.Conn) { c.data(id, normal, true) },
			streamEnd{closing(1000, ""), true, nil}, "<nil>", 0},
		{"the client closes", func(c *rawH2, id uint32, _ *wsmanager.Conn) { c.data(id, normal, false) },
			streamEnd{closing(1000, ""), true, &no}, "<nil>", 0},
		{"the server closes", func(c *rawH2, id uint32, conn *wsmanager.Conn) {
			require.NoError(c.t, conn.Close(4000, "bye"))
			require.Equal(c.t, ws.OpClose, c.message(id).Header.OpCode)
			c.data(id, wstest.Frame(ws.OpClose, true, ws.NewCloseFrameBody(4000, "")), true)
		}, streamEnd{"", true, nil}, `wsmanager: closed here with 4000 ("bye")`, 0},
		{"the server closes, the client only ends its stream", func(c *rawH2, id uint32, conn *wsmanager.Conn) {
			require.NoError(c.t, conn.Close(4000, ""))
			require.Equal(c.t, ws.OpClose, c.message(id).Header.OpCode)
			c.data(id, nil, true)
		}, streamEnd{"", true, nil}, "wsmanager: closed here with 4000", 0},
		{"the server closes, the client does not answer", func(c *rawH2, id uint32, conn *wsmanager.Conn) {
			require.NoError(c.t, conn.Close(4000, ""))
			require.Equal(c.t, ws.OpClose, c.message(id).Header.OpCode)
		}, streamEnd{"", true, &no}, "wsmanager: closed here with 4000", 5 * time.Second},
		{"the client ends its stream without a close frame", func(c *rawH2, id uint32, _ *wsmanager.Conn) { c.data(id, nil, true) },
			streamEnd{"", true, nil}, "wsmanager: closed by the peer with 1006: unexpected EOF", 0},
		{"in the middle of a frame", func(c *rawH2, id uint32, _ *wsmanager.Conn) { c.data(id, []byte{0x81}, true) },
			streamEnd{"", true, nil}, "wsmanager: closed by the peer with 1006: unexpected EOF", 0},
		{"a protocol error", func(c *rawH2, id uint32, _ *wsmanager.Conn) { c.data(id, []byte{0xff, 0xff}, false) },
			streamEnd{closing(1002, ""), true, &no}, "wsmanager: closed here with 1002", 0},
		{"a panic", func(c *rawH2, id uint32, _ *wsmanager.Conn) { c.text(id, "panic") },
			streamEnd{closing(1011, ""), true, &no}, "wsmanager: closed here with 1011", 0},
		{"a write that can't go on", func(c *rawH2, id uint32, conn *wsmanager.Conn) {
			require.NoError(c.t, conn.Send(wsmanager.Binary(make([]byte, 65536)))) // the window has 65,535 bytes
		}, streamEnd{"", false, &internal}, "wsmanager: closed here with 1006: a write made no progress in time", 10 * time.Second},
		{"Close while a write can't go on", func(c *rawH2, id uint32, conn *wsmanager.Conn) {
			require.NoError(c.t, conn.Send(wsmanager.Binary(make([]byte, 65536))))
			require.NoError(c.t, conn.Close(4000, ""))
		}, streamEnd{"", false, &internal}, "wsmanager: closed here with 4000", 5 * time.Second},
		{"Close when nothing was taken for a second", func(c *rawH2, id uint32, conn *wsmanager.Conn) {
			require.NoError(c.t, conn.Send(wsmanager.Binary(make([]byte, 65536))))
			time.Sleep(2 * time.Second)
			require.NoError(c.t, conn.Close(4000, ""))
		}, streamEnd{"", false, &internal}, "wsmanager: closed here with 4000", 2 * time.Second},
		{"an outbox that runs over", func(c *rawH2, id uint32, conn *wsmanager.Conn) {
			err := conn.Send(wsmanager.Binary(make([]byte, 65536)))
			synctest.Wait() // the writer is writing it
			for err == nil {
				err = conn.Send(wsmanager.Binary(make([]byte, 65536)))
			}
			require.ErrorIs(c.t, err, wsmanager.ErrOutboxFull)
		}, streamEnd{"", false, &internal}, "wsmanager: closed here with 1013: the peer reads too slowly", 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := newJournal()
				m := wsmanager.MustNew(wsmanager.Callbacks{
					OnMessage: func(*wsmanager.Conn, wsmanager.Message) error { panic("oops") },
					OnClose:   func(_ *wsmanager.Conn, err error) { j.note("%v", err) },
				}, optionsWithoutLog())
				c := inBubble(t, &http.Server{Handler: m})
				id := c.open()
				conn := onlyConn(t, m)
				begin := time.Now()
				tt.do(c, id, conn)
				e := c.end(id, tt.want.Reset != nil)
				if tt.want.Data != "" {
					require.Equal(t, tt.want.Data, e.Data)
				}
				e.Data, tt.want.Data = "", ""
				require.Equal(t, tt.want, e)
				require.InDelta(t, tt.after.Seconds(), time.Since(begin).Seconds(), 0.7, "accuracy of one tick of the wheel")
				require.True(t, strings.HasPrefix(j.await(t, 1)[0], tt.err), j.all()[0])
				require.NoError(t, m.Shutdown(t.Context()))
				c.ping() // the HTTP/2 connection still works
			})
		})
	}
}

// When a client resets a stream or its connection breaks, only the affected WebSockets end.
func TestStreamReset(t *testing.T) { onStreams(t, testStreamReset) }

func testStreamReset(t *testing.T) {
	j := newJournal()
	m, url := serve(t, recordingCallbacks(j), optionsWithoutLog(), nil)
	c := dialRaw(t, url)
	bystander := c.open()
	id := c.open()
	require.Equal(t, wsmanager.Sent{Queued: 2}, m.Broadcast(wsmanager.Text("x")))
	c.expectText(bystander, "x")
	require.NoError(t, c.fr.WriteRSTStream(id, http2.ErrCodeCancel))
	const gone = "close: wsmanager: closed by the peer with 1006: " // followed by the error of net/http's read or write, whichever fails first
	require.True(t, strings.HasPrefix(j.await(t, 3)[2], gone), j.all()[2])
	c.text(bystander, "still here")
	c.expectText(bystander, "still here")
	require.Equal(t, 1, m.All().Len())
	require.NoError(t, c.conn.Close())
	require.True(t, strings.HasPrefix(j.await(t, 5)[4], gone), j.all()[4])
	require.NoError(t, m.Shutdown(t.Context()))
}

// A GOAWAY frame of the client does not end WebSockets.
func TestClientGoesAway(t *testing.T) { onStreams(t, testClientGoesAway) }

func testClientGoesAway(t *testing.T) {
	m, url := serve(t, recordingCallbacks(newJournal()), optionsWithoutLog(), nil)
	c := dialRaw(t, url)
	id := c.open()
	require.NoError(t, c.fr.WriteGoAway(0, http2.ErrCodeNo, nil))
	for range 3 {
		c.text(id, "on it goes")
		c.expectText(id, "on it goes")
	}
	require.True(t, c.goAway, "net/http answers with GOAWAY")
	c.data(id, wstest.Frame(ws.OpClose, true, nil), true)
	require.Equal(t, streamEnd{"\x88\x00", true, nil}, c.end(id, false))
	require.NoError(t, m.Shutdown(t.Context()))
}

// Manager.Shutdown closes streams with 1001. http.Server.Shutdown sends GOAWAY and waits for
// the streams.
func TestShutdownWithStreams(t *testing.T) { onStreams(t, testShutdownWithStreams) }

func testShutdownWithStreams(t *testing.T) {
	j := newJournal()
	m := wsmanager.MustNew(recordingCallbacks(j), optionsWithoutLog())
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
		t.Fatal("http.Server.Shutdown did not wait: ", err)
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
		require.Equal(t, streamEnd{"", true, nil}, c.end(id, false))
	}
	require.NoError(t, <-done)
	require.NoError(t, <-served)
}

// Shutdown cuts streams of clients that don't answer the close frame and of clients that don't
// read.
func TestShutdownCutsStreams(t *testing.T) { onStreams(t, testShutdownCutsStreams) }

func testShutdownCutsStreams(t *testing.T) {
	opts := optionsWithoutLog()
	opts.Timeouts.Close = time.Hour
	m, url := serve(t, wsmanager.Callbacks{}, opts, nil)
	c := dialRaw(t, url)
	require.NoError(t, c.fr.WriteWindowUpdate(0, 1<<20)) // of the connection
	stuck := c.open()
	conn := onlyConn(t, m)
	idle := c.open()
	require.NoError(t, conn.Send(wsmanager.Binary(make([]byte, 65536)))) // exceeds the window of the stream
	for got := 0; got < 65535; {                                         // until the write has begun
		if f, ok := c.frame(stuck).(*http2.DataFrame); ok {
			got += len(f.Data())
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- m.Shutdown(ctx) }()
	ends := map[uint32]string{}
	for len(ends) < 2 {
		switch f := c.frame(0).(type) {
		case *http2.DataFrame:
			if f.StreamID == idle {
				cancel() // the close frame has arrived
			}
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
	require.ErrorContains(t, <-done, "connections were cut: context canceled")
	c.ping()
}
