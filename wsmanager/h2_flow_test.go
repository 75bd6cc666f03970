package wsmanager_test

import (
	"context"
	"fmt"
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

// Messages to a stream whose client reads nothing are queued and do not delay other streams.
func TestStalledStream(t *testing.T) { onStreams(t, testStalledStream) }

func testStalledStream(t *testing.T) {
	m, url := serve(t, recordingCallbacks(newJournal()), optionsWithoutLog(), nil)
	c := dialRaw(t, url)
	require.NoError(t, c.fr.WriteWindowUpdate(0, 16<<20)) // of the connection
	stalled := c.open()
	slow := onlyConn(t, m)
	brisk := c.open()
	big := repeat("x", 60_000)
	for range 10 { // exceeds the window of the stream
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
	// The client receives all messages in order when it reads again.
	require.NoError(t, c.fr.WriteWindowUpdate(stalled, 1<<20))
	require.NoError(t, slow.Send(wsmanager.Text("the last")))
	got := ""
	for !strings.HasSuffix(got, "the last") {
		if d, ok := c.frame(stalled).(*http2.DataFrame); ok {
			got += string(d.Data())
		}
	}
}

// Data that a client sends to a blocked callback is buffered in net/http, up to the stream's
// window. By default the connection's window has the same size. So one such stream can block
// the data of all other streams, unless the server configures a bigger window.
func TestBlockedCallbackAndTheConnectionsWindow(t *testing.T) {
	onStreams(t, testBlockedCallbackAndTheConnectionsWindow)
}

func testBlockedCallbackAndTheConnectionsWindow(t *testing.T) {
	for _, roomy := range []bool{false, true} {
		t.Run(map[bool]string{false: "default window", true: "with a bigger window"}[roomy], func(t *testing.T) {
			release := make(chan struct{})
			m := wsmanager.MustNew(wsmanager.Callbacks{OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
				if m.Type == wsmanager.BinaryMessage {
					<-release
					return nil
				}
				return c.Send(m)
			}}, optionsWithoutLog())
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
			// Fill the stream's window. The bytes that the callback's reader has buffered, one
			// or two buffers, are returned to the window.
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
				require.Less(t, left, 40<<10, "remaining window of the connection")
				return
			}
			require.Greater(t, left, 2<<20)
			c.data(other, hello, false)
			c.expectText(other, "hello")
		})
	}
}

// Many WebSockets share one connection, up to the server's limit of streams.
func TestManyStreams(t *testing.T) { onStreams(t, testManyStreams) }

func testManyStreams(t *testing.T) {
	j := newJournal()
	m := wsmanager.MustNew(wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) },
		OnClose:   func(*wsmanager.Conn, error) { j.note("closed") },
	}, optionsWithoutLog())
	srv := start(t, m, func(srv *httptest.Server) {
		srv.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 100}
	})
	c := dialRaw(t, srv.URL)
	require.EqualValues(t, 100, c.server[http2.SettingMaxConcurrentStreams])
	var ids []uint32
	for range 100 {
		ids = append(ids, c.open())
	}
	require.Equal(t, 100, m.All().Len())
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
	require.Eventually(t, func() bool { // the handler may return a little later
		id := c.ask("/", false)
		_, refused := c.frame(id).(*http2.RSTStreamFrame)
		return !refused
	}, wstest.Patience, time.Millisecond)
}

// If a client stops reading from its connection, even a reset can't reach it. The blocked
// writer remains until the connection ends. OnClose runs earlier.
func TestStalledConnection(t *testing.T) { onStreams(t, testStalledConnection) }

func testStalledConnection(t *testing.T) {
	for _, limited := range []bool{false, true} {
		t.Run(map[bool]string{false: "defaults", true: "WriteByteTimeout"}[limited], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := newJournal()
				m := wsmanager.MustNew(wsmanager.Callbacks{
					OnClose: func(_ *wsmanager.Conn, err error) { j.note("%v", err) },
				}, optionsWithoutLog())
				srv := &http.Server{Handler: m}
				if limited {
					srv.HTTP2 = &http.HTTP2Config{WriteByteTimeout: 30 * time.Second}
				}
				c := inBubble(t, srv)
				require.NoError(t, c.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 16 << 20}))
				require.NoError(t, c.fr.WriteWindowUpdate(0, 16<<20))
				c.open()
				conn := onlyConn(t, m)
				var err error
				for err == nil {
					err = conn.SendContext(t.Context(), wsmanager.Binary(make([]byte, 300<<10)))
				}
				require.ErrorIs(t, err, wsmanager.ErrClosed)
				synctest.Wait()
				require.Equal(t, []string{"wsmanager: closed here with 1006: a write made no progress in time"}, j.all())
				require.Zero(t, m.All().Len())
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
