package wsmanager_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// takeoverCases are actions of clients while one of their callbacks runs.
var takeoverCases = []struct {
	name string
	set  func(h *heldConn)
	do   func(t *testing.T, h *heldConn)
}{
	{"pings are answered", nil, func(t *testing.T, h *heldConn) {
		h.c.SendText("hold")
		h.awaitCallback()
		for i := range 5 {
			h.ping(fmt.Sprint("p", i))
		}
		h.resume()
		h.c.SendText("next")
		require.Equal(t, []string{"connect", "hold", "next"}, h.j.await(t, 3))
		h.ping("after")
	}},
	{"messages in the same segment", nil, func(t *testing.T, h *heldConn) {
		h.c.SendRaw(join(textFrame("hold"), wstest.Frame(ws.OpPing, true, []byte("p")), textFrame("a"),
			wstest.Frame(ws.OpText, false, []byte("b1")), wstest.Frame(ws.OpPing, true, []byte("q"))))
		h.awaitCallback()
		h.expectPongs("p", "q")
		h.c.SendRaw(wstest.Frame(ws.OpContinuation, false, []byte("b2")))
		h.ping("r")
		h.c.SendRaw(join(wstest.Frame(ws.OpContinuation, true, []byte("b3")), textFrame("c")))
		h.ping("s")
		require.Equal(t, []string{"connect", "hold"}, h.j.all())
		h.resume()
		require.Equal(t, []string{"connect", "hold", "a", "b1b2b3", "c"}, h.j.await(t, 5))
	}},
	{"a frame that is split in its header and in its payload", nil, func(t *testing.T, h *heldConn) {
		next := wstest.Frame(ws.OpText, true, []byte(repeat("n", 300)))
		h.c.SendRaw(join(textFrame("hold"), next[:3]))
		h.awaitCallback()
		awaitCondition(t, func() bool { return wsmanager.Taken(h.conn) })
		h.c.SendRaw(next[3:100])
		h.c.SendRaw(next[100:])
		h.ping("p")
		h.resume()
		require.Equal(t, []string{"connect", "hold", repeat("n", 300)}, h.j.await(t, 3))
	}},
	{"data up to MaxMessageSize, then reading stops", func(h *heldConn) {
		h.at.opts = func(o *wsmanager.Options) { o.Limits.MaxMessageSize = 1000 }
	}, func(t *testing.T, h *heldConn) {
		const n = 200
		want := []string{"connect", "hold"}
		h.c.SendText("hold")
		h.awaitCallback()
		for i := range n {
			m := fmt.Sprintf("%0100d", i)
			want = append(want, m)
			h.c.SendText(m) // each counts as 164 bytes: 6 fit
		}
		awaitCondition(t, func() bool { return h.m.Stats().MessagesIn >= 1+6+1 })
		other := h.dialSecond()
		for i := range 15 {
			other.SendPing([]byte{byte(i)})
			other.ExpectPong([]byte{byte(i)})
		}
		require.EqualValues(t, 1+6+1, h.m.Stats().MessagesIn, "one that is handled, six that are queued, and the next one")
		h.resume()
		require.Equal(t, want, h.j.await(t, len(want)), "order of the messages")
		require.EqualValues(t, 1+n, h.m.Stats().MessagesIn)
		h.ping("after")
	}},
	{"the queue of empty messages is bounded", func(h *heldConn) {
		h.at.opts = func(o *wsmanager.Options) { o.Limits.MaxMessageSize = 1000 }
	}, func(t *testing.T, h *heldConn) {
		h.c.SendText("hold")
		h.awaitCallback()
		for range 500 {
			h.c.SendText("")
		}
		awaitCondition(t, func() bool { return h.m.Stats().MessagesIn >= 1+15+1 })
		other := h.dialSecond()
		for i := range 15 {
			other.SendPing([]byte{byte(i)})
			other.ExpectPong([]byte{byte(i)})
		}
		require.EqualValues(t, 1+15+1, h.m.Stats().MessagesIn)
		h.resume()
		h.j.await(t, 2+500)
	}},
	{"a big message in fragments", nil, func(t *testing.T, h *heldConn) {
		big := repeat("0123456789", 6000)
		h.c.SendText("hold")
		h.awaitCallback()
		for at := 0; at < len(big); at += 5000 {
			op := ws.OpContinuation
			if at == 0 {
				op = ws.OpText
			}
			h.c.SendRaw(wstest.Frame(op, at+5000 == len(big), []byte(big[at:at+5000])))
			h.ping(fmt.Sprint(at))
		}
		h.resume()
		require.Equal(t, []string{"connect", "hold", big}, h.j.await(t, 3))
	}},
	{"compressed messages", func(h *heldConn) {
		h.at.header = offering
		h.at.opts = func(o *wsmanager.Options) { o.Compression = compressing().Compression }
	}, func(t *testing.T, h *heldConn) {
		big := repeat("hello ", 10000)
		h.c.SendRaw(join(compressedFrames(t, ws.OpText, []byte("hold"), 9, 0), compressedFrames(t, ws.OpText, []byte(big), 9, 7)))
		h.awaitCallback()
		h.ping("p")
		require.EqualValues(t, 1, h.m.Stats().Compressed.In, "messages are inflated when they are handled")
		h.c.SendText("plain")
		h.ping("q")
		h.resume()
		require.Equal(t, []string{"connect", "hold", big, "plain"}, h.j.await(t, 4))
	}},
	{"a compressed message that inflates to too much", func(h *heldConn) {
		h.at.header = offering
		h.at.opts = func(o *wsmanager.Options) { o.Compression = compressing().Compression }
	}, func(t *testing.T, h *heldConn) {
		h.c.SendText("hold")
		h.awaitCallback()
		h.c.SendRaw(join(textFrame("a"), compressedFrames(t, ws.OpText, []byte(repeat("x", 70_000)), 9, 0), textFrame("b")))
		h.ping("p")
		h.resume()
		h.c.ExpectClose(1009)
		require.Equal(t, []string{"connect", "hold", "a"}, h.j.await(t, 4)[:3])
	}},
	{"a close frame ends the Context", nil, func(t *testing.T, h *heldConn) {
		h.c.SendText("hold")
		h.awaitCallback()
		h.c.SendText("before")
		h.c.SendClose(1000, "bye")
		require.Equal(t, context.Canceled, h.contextEnds())
		h.closes(1000)
		require.ErrorIs(t, h.conn.Send(wsmanager.Text("x")), wsmanager.ErrClosed)
		require.Equal(t, []string{"connect", "hold"}, h.j.all())
		awaitCondition(t, func() bool { return h.m.All().Len() == 0 })
		h.resume()
		require.Equal(t, []string{"connect", "hold", "before", "closed: <nil>"}, h.j.await(t, 4))
	}},
	{"a close frame with a reason", nil, func(t *testing.T, h *heldConn) {
		h.c.SendText("hold")
		h.awaitCallback()
		h.c.SendClose(4001, "because")
		require.ErrorContains(t, h.contextEnds(), "because")
		h.closes(4001)
		h.resume()
		require.Contains(t, h.j.await(t, 3)[2], "closed: wsmanager: closed by the peer with 4001")
	}},
	{"the peer ends TCP without a close frame", nil, func(t *testing.T, h *heldConn) {
		h.c.SendText("hold")
		h.awaitCallback()
		h.c.SendText("last words")
		require.NoError(t, h.c.Conn().Close())
		require.Error(t, h.contextEnds())
		awaitCondition(t, func() bool { return h.m.All().Len() == 0 })
		require.Equal(t, []string{"connect", "hold"}, h.j.all())
		h.resume()
		require.Equal(t, "last words", h.j.await(t, 4)[2])
		require.Contains(t, h.j.all()[3], "closed: wsmanager: closed by the peer with 1006")
	}},
	{"the peer resets", nil, func(t *testing.T, h *heldConn) {
		h.c.SendText("hold")
		h.awaitCallback()
		h.c.Kill()
		require.Error(t, h.contextEnds())
		require.Equal(t, []string{"connect", "hold"}, h.j.all())
		h.resume()
		require.Contains(t, h.j.await(t, 3)[2], "1006")
	}},
	{"OnConnect, with messages in the segment of the handshake", func(h *heldConn) {
		h.at.connect = true
		h.at.early = join(textFrame("early"), wstest.Frame(ws.OpPing, true, []byte("p")), textFrame("too"))
	}, func(t *testing.T, h *heldConn) {
		h.awaitCallback()
		h.c.ExpectPong([]byte("p"))
		h.c.SendText("late")
		h.ping("q")
		require.Equal(t, []string{"connect"}, h.j.all())
		h.resume()
		require.Equal(t, []string{"connect", "early", "too", "late"}, h.j.await(t, 4))
	}},
	{"OnConnect fails", func(h *heldConn) {
		h.at.connect = true
		h.at.then = func(*heldConn) error { return &wsmanager.CloseError{Code: 4003, Reason: "no"} }
	}, func(t *testing.T, h *heldConn) {
		h.awaitCallback()
		h.c.SendText("dropped")
		h.ping("q")
		h.resume()
		require.Equal(t, "no", h.c.ExpectClose(4003))
		require.Len(t, h.j.await(t, 2), 2)
	}},
	{"the callback sends, and so do others", func(h *heldConn) {
		h.at.then = func(h *heldConn) error { return h.conn.Send(wsmanager.Text("done")) }
	}, func(t *testing.T, h *heldConn) {
		h.c.SendText("hold")
		h.awaitCallback()
		for i := range 10 {
			require.NoError(t, h.conn.Send(wsmanager.Text(fmt.Sprint("part ", i))))
			h.c.ExpectText(fmt.Sprint("part ", i))
			h.ping(fmt.Sprint(i))
		}
		h.m.Broadcast(wsmanager.Text("all"))
		h.c.ExpectText("all")
		h.resume()
		h.c.ExpectText("done")
	}},
	{"two takeovers, and one in a queued callback", nil, func(t *testing.T, h *heldConn) {
		h.c.SendText("hold 1")
		h.awaitCallback()
		h.c.SendText("hold 2")
		h.ping("p")
		h.resume()
		h.awaitCallback()
		h.c.SendText("a")
		h.ping("q")
		h.resume()
		h.j.await(t, 4)
		awaitCondition(t, func() bool { return !wsmanager.Taken(h.conn) })
		for i := range 3 {
			h.c.SendText(fmt.Sprint("hold again ", i))
			h.awaitCallback()
			h.ping("r")
			h.resume()
			awaitCondition(t, func() bool { return !wsmanager.Taken(h.conn) })
		}
		require.Equal(t, []string{"connect", "hold 1", "hold 2", "a", "hold again 0", "hold again 1", "hold again 2"}, h.j.all())
	}},
	{"the callback panics", func(h *heldConn) { h.at.then = func(*heldConn) error { panic("oops") } }, func(t *testing.T, h *heldConn) {
		h.c.SendText("hold")
		h.awaitCallback()
		h.c.SendText("dropped")
		h.ping("p")
		h.resume()
		h.c.ExpectClose(1011)
		require.Contains(t, h.j.await(t, 3)[2], "closed: wsmanager: closed here with 1011: a callback panicked: oops")
	}},
	{"a queued callback panics", func(h *heldConn) {
		h.at.then = func(h *heldConn) error {
			if len(h.j.all()) == 3 {
				panic("oops")
			}
			return nil
		}
	}, func(t *testing.T, h *heldConn) {
		h.c.SendText("hold")
		h.awaitCallback()
		h.c.SendRaw(join(textFrame("hold too"), textFrame("dropped")))
		h.ping("p")
		h.resume()
		h.awaitCallback()
		h.resume()
		h.c.ExpectClose(1011)
		require.Contains(t, h.j.await(t, 4)[3], "oops")
	}},
	{"the callback fails when the peer has closed", func(h *heldConn) { h.at.then = func(*heldConn) error { panic("oops") } }, func(t *testing.T, h *heldConn) {
		h.c.SendText("hold")
		h.awaitCallback()
		h.c.SendText("dropped")
		h.c.SendClose(1000, "")
		h.closes(1000)
		_ = h.contextEnds()
		h.resume()
		require.Equal(t, []string{"connect", "hold", "closed: <nil>"}, h.j.await(t, 3))
	}},
	{"the callback closes", func(h *heldConn) { h.at.then = func(h *heldConn) error { return h.conn.Close(4000, "") } }, func(t *testing.T, h *heldConn) {
		h.c.SendText("hold")
		h.awaitCallback()
		h.c.SendText("dropped")
		h.ping("p")
		h.resume()
		h.c.ExpectClose(4000)
		require.Len(t, h.j.await(t, 3), 3)
	}},
	{"the server closes, and the peer answers during the callback", nil, func(t *testing.T, h *heldConn) {
		h.c.SendText("hold")
		h.awaitCallback()
		require.NoError(t, h.conn.Close(4000, ""))
		h.closes(4000)
		_ = h.contextEnds()
		require.Len(t, h.j.all(), 2)
		h.resume()
		require.Contains(t, h.j.await(t, 3)[2], "4000")
	}},
	{"Shutdown", nil, func(t *testing.T, h *heldConn) {
		h.c.SendText("hold")
		h.awaitCallback()
		h.ping("p")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.m.Shutdown(ctx) }()
		h.closes(1001)
		_ = h.contextEnds()
		cancel()
		require.ErrorContains(t, <-done, "1 callbacks have not returned")
		h.resume()
		require.NoError(t, h.m.Shutdown(t.Context()))
		require.Len(t, h.j.all(), 3)
	}},
	{"too many pings", func(h *heldConn) { h.at.opts = func(o *wsmanager.Options) { o.Limits.ControlRate = 3 } }, func(t *testing.T, h *heldConn) {
		h.c.SendText("hold")
		h.awaitCallback()
		for range 20 {
			h.c.SendPing(nil)
		}
		h.c.SendText("dropped")
		for op := ws.OpPong; op != ws.OpClose; {
			f, err := h.c.ReadFrame()
			require.NoError(t, err)
			op = f.Header.OpCode
		}
		require.ErrorIs(t, h.contextEnds(), wsmanager.ErrRateLimit)
		require.Len(t, h.j.all(), 2)
		h.resume()
		require.Contains(t, h.j.await(t, 3)[2], "1008")
	}},
	{"too many messages", func(h *heldConn) {
		h.at.opts = func(o *wsmanager.Options) { o.Limits.MessageRate, o.Limits.MessageBurst = 0.001, 3 }
	}, func(t *testing.T, h *heldConn) {
		h.c.SendText("hold")
		h.awaitCallback()
		for i := range 5 {
			h.c.SendText(fmt.Sprint(i))
		}
		h.closes(1008)
		require.ErrorIs(t, h.contextEnds(), wsmanager.ErrRateLimit)
		h.resume()
		require.Equal(t, []string{"connect", "hold", "0", "1"}, h.j.await(t, 5)[:4], "messages within the rate")
	}},
	{"an invalid frame", nil, func(t *testing.T, h *heldConn) {
		h.c.SendText("hold")
		h.awaitCallback()
		h.c.SendRaw(join(textFrame("good"), []byte{0xff, 0xff}))
		h.closes(1002)
		require.Error(t, h.contextEnds())
		h.resume()
		require.Equal(t, "good", h.j.await(t, 4)[2])
	}},
	{"the connection is closed while the reader waits for room in the queue", func(h *heldConn) {
		h.at.opts = func(o *wsmanager.Options) { o.Limits.MaxMessageSize = 100 }
	}, func(t *testing.T, h *heldConn) {
		h.c.SendText("hold")
		h.awaitCallback()
		for range 5 {
			h.c.SendText(repeat("x", 90))
		}
		awaitCondition(t, func() bool { return h.m.Stats().MessagesIn >= 3 })
		require.NoError(t, h.conn.Close(4000, "enough"))
		require.Equal(t, "enough", h.closes(4000))
		_ = h.contextEnds()
		h.resume()
		require.Len(t, h.j.await(t, 3), 3, "queued messages are dropped, like messages that arrive after Close")
	}},
	{"Options.Block", func(h *heldConn) { h.at.block = true }, func(t *testing.T, h *heldConn) {
		for range 2 {
			h.c.SendText("hold")
			h.awaitCallback()
			h.ping("p")
			h.resume()
			awaitCondition(t, func() bool { return !wsmanager.Taken(h.conn) })
		}
		select {
		case <-h.served:
			t.Fatal("ServeHTTP has returned")
		default:
		}
		h.c.SendText("hold")
		h.awaitCallback()
		h.c.SendClose(1000, "")
		h.closes(1000)
		_ = h.contextEnds()
		select {
		case <-h.served:
			t.Fatal("ServeHTTP has returned before the callback")
		default:
		}
		h.resume()
		<-h.served
		require.Contains(t, h.j.all(), "closed: <nil>")
	}},
}
