package wsmanager

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/broadcast"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// batchManager returns a Manager with two connections. The test passes messages to the
// first.
func batchManager(t *testing.T, opts Options, onMessage func(*Conn, Message) error) (m *Manager, from, to *Conn, trs [2]*fakeTransport) {
	t.Helper()
	opts.Logger = slog.New(slog.DiscardHandler)
	m, err := newManager(Callbacks{OnMessage: onMessage}, opts, newStepClock())
	require.NoError(t, err)
	m.Broadcast(Text("no receivers")) // the first broadcast activates the batcher
	trs = [2]*fakeTransport{newFakeTransport(1 << 20), newFakeTransport(1 << 20)}
	from = fakeConn(t, m, "from", trs[0], Accept{Groups: []string{"both"}})
	to = fakeConn(t, m, "to", trs[1], Accept{Groups: []string{"both"}})
	return m, from, to, trs
}

// deferBroadcasts defers broadcasts as a callback does whose peer has sent more messages, until
// end is called.
func deferBroadcasts(m *Manager) (end func()) {
	m.broadcaster.Activate()
	epoch, _ := m.broadcaster.BeginCallback()
	return func() { m.broadcaster.EndCallback(epoch) }
}

// runInFakeTime runs a subtest with a stopped clock, so that the timer does not deliver deferred
// broadcasts when the machine is slow.
func runInFakeTime(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// segment returns the frames of messages that arrive together.
func segment(texts ...string) []byte {
	var b bytes.Buffer
	for _, text := range texts {
		f := ws.MaskFrameWith(ws.NewTextFrame([]byte(text)), [4]byte{1, 2, 3, 4})
		_ = ws.WriteFrame(&b, f)
	}
	return b.Bytes()
}

// Broadcasts by callbacks for messages that arrived together are delivered with one write
// for each receiver.
func TestDeferredBroadcastsAreJoined(t *testing.T) {
	for name, send := range map[string]func(*Manager, Message) Sent{
		"to all":     (*Manager).Broadcast,
		"to a group": func(m *Manager, msg Message) Sent { return m.Group("both").Send(msg) },
	} {
		runInFakeTime(t, name, func(t *testing.T) {
			m, from, _, trs := batchManager(t, Options{}, func(c *Conn, msg Message) error {
				require.Equal(t, Sent{Queued: 2}, send(c.m, msg))
				return nil
			})
			require.NoError(t, from.session().consume(segment("a", "b", "c", "d")))
			for _, tr := range trs {
				require.Equal(t, []string{"a", "b", "c", "d"}, tr.frames(t))
				require.Equal(t, 1, tr.count())
			}
			require.EqualValues(t, 8, m.Stats().MessagesOut)
			require.NoError(t, from.session().consume(segment("alone")))
			require.Equal(t, 2, trs[1].count())
		})
	}
}

// Everything that a callback does after a broadcast takes effect after the broadcast.
func TestNothingOvertakesADeferredBroadcast(t *testing.T) {
	var late *fakeTransport
	for _, tt := range []struct {
		name string
		then func(t *testing.T, from, to *Conn)
		want []string // frames that to receives
		late []string // frames of a connection that is accepted between the two broadcasts
	}{
		{"a direct send", func(t *testing.T, _, to *Conn) { require.NoError(t, to.Send(Text("direct"))) },
			[]string{"first", "direct", "last"}, nil},
		{"a prepared send", func(t *testing.T, _, to *Conn) { require.NoError(t, to.SendPrepared(Prepare(Text("direct")))) },
			[]string{"first", "direct", "last"}, nil},
		{"a send that can block", func(t *testing.T, _, to *Conn) { require.NoError(t, to.SendContext(t.Context(), Text("direct"))) },
			[]string{"first", "direct", "last"}, nil},
		{"a broadcast to others", func(_ *testing.T, from, _ *Conn) { from.m.Group("both").Send(Text("group")) },
			[]string{"first", "group", "last"}, nil},
		{"a broadcast to some", func(_ *testing.T, from, _ *Conn) {
			from.m.All().WhereLocal(func(*Conn) bool { return true }).Send(Text("some"))
		}, []string{"first", "some", "last"}, nil},
		{"a close", func(t *testing.T, _, to *Conn) { require.NoError(t, to.Close(1000, "")) },
			[]string{"first", "0x8"}, nil},
		{"another connection is accepted", func(t *testing.T, from, _ *Conn) {
			from.m.broadcaster.FlushDeferred() // as the handshake does
			fakeConn(t, from.m, "late", late, Accept{})
		}, []string{"first", "last"}, []string{"last"}},
	} {
		runInFakeTime(t, tt.name, func(t *testing.T) {
			late = newFakeTransport(1 << 20)
			_, from, _, trs := batchManager(t, Options{}, func(c *Conn, msg Message) error {
				c.m.Broadcast(msg)
				if string(msg.Payload) == "first" {
					to, _ := c.m.Conn("to")
					tt.then(t, c, to)
				}
				return nil
			})
			require.NoError(t, from.session().consume(segment("first", "last")))
			require.Equal(t, tt.want, trs[1].frames(t))
			require.Equal(t, tt.late, late.frames(t))
		})
	}
}

// A connection that leaves a group gets the broadcasts before that. A connection that joins
// does not.
func TestGroupChangesBetweenDeferredBroadcasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the clock does not advance
		var other *Conn
		m, from, to, trs := batchManager(t, Options{}, func(c *Conn, msg Message) error {
			g := c.m.Group("g")
			switch string(msg.Payload) {
			case "join":
				g.Send(Text("before"))
				require.NoError(t, other.Join("g"))
				g.Send(Text("inside"))
			case "leave":
				g.Send(Text("still inside"))
				_ = other.Leave("g")
				g.Send(Text("after"))
			}
			return nil
		})
		other = to
		require.NoError(t, from.Join("g"))
		require.NoError(t, from.session().consume(segment("join", "leave", "nothing")))
		require.Equal(t, []string{"inside", "still inside"}, trs[1].frames(t))
		require.Equal(t, []string{"before", "inside", "still inside", "after"}, trs[0].frames(t))
		require.Equal(t, 1, m.Group("g").Len())
	})
}

// A slow callback delays deferred broadcasts by at most broadcast.MaxDefer. After that, broadcasts of
// other goroutines are not deferred again.
func TestDeferralEndsAfterMaxDefer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proceed := make(chan struct{})
		m, from, _, trs := batchManager(t, Options{}, func(c *Conn, msg Message) error {
			c.m.Broadcast(msg)
			if string(msg.Payload) == "slow" {
				<-proceed
			}
			return nil
		})
		done := make(chan error)
		go func() { done <- from.session().consume(segment("slow", "next")) }()
		synctest.Wait()
		require.Empty(t, trs[1].frames(t))
		time.Sleep(broadcast.MaxDefer)
		synctest.Wait()
		require.Equal(t, []string{"slow"}, trs[1].frames(t))
		m.Broadcast(Text("of another"))
		require.Equal(t, []string{"slow", "of another"}, trs[1].frames(t))
		close(proceed)
		require.NoError(t, <-done)
		require.Equal(t, []string{"slow", "of another", "next"}, trs[1].frames(t))
		m.Broadcast(Text("last"))
		require.Equal(t, []string{"slow", "of another", "next", "last"}, trs[1].frames(t), "a callback counts as running")
	})
}

// The number of deferred broadcasts is limited.
func TestDeferredBroadcastsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the clock does not advance
		var texts []string
		for i := range 3*broadcast.MaxPending + 1 {
			texts = append(texts, fmt.Sprint(i))
		}
		_, from, _, trs := batchManager(t, Options{}, func(c *Conn, msg Message) error {
			c.m.Broadcast(msg)
			return nil
		})
		require.NoError(t, from.session().consume(segment(texts...)))
		require.Equal(t, texts, trs[1].frames(t))
		require.Equal(t, 4, trs[1].count())
	})
}

// A message that was counted as queued, and then finds a full outbox or an ended
// connection, is counted as dropped.
func TestDropsOfDeferredBroadcasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the clock does not advance
		m, from, to, trs := batchManager(t, Options{Outbox: Outbox{Messages: 2}, SlowConsumer: SlowConsumerDropNewest}, func(c *Conn, msg Message) error {
			want := Sent{Queued: 2}
			if string(msg.Payload) == "d" { // the last broadcast is not deferred
				want = Sent{Queued: 1, Dropped: 1}
			}
			require.Equal(t, want, c.m.Broadcast(msg))
			return nil
		})
		sendAndBlock(t, to, trs[1], "half")
		require.NoError(t, from.session().consume(segment("a", "b", "c", "d")))
		require.Equal(t, []string{"a", "b", "c", "d"}, trs[0].frames(t))
		require.Equal(t, Dropped{OutboxFull: 3}, m.Stats().Dropped)

		deferBroadcasts(m)
		require.Equal(t, Sent{Queued: 2}, m.Broadcast(Text("too late")))
		to.mu.Lock()
		to.life.cut(to.session(), &CloseError{Code: StatusAbnormalClosure}) // drops "half" and "a"
		to.mu.Unlock()
		m.broadcaster.FlushDeferred()
		awaitNoWriters(t, m)
		require.Equal(t, Dropped{OutboxFull: 3, Closed: 3}, m.Stats().Dropped)
		require.Equal(t, Sent{Queued: 1}, m.Broadcast(Text("one is left")))
		m.broadcaster.FlushDeferred()
	})
}

// Deferred broadcasts are delivered, or counted as dropped, before the connection or the
// Manager ends, and at the end of the segment.
func TestDeferredBroadcastsComeBeforeTheEnd(t *testing.T) {
	hold := func(t *testing.T) (*Manager, *Conn, *fakeTransport) {
		m, _, to, trs := batchManager(t, Options{}, nil)
		t.Cleanup(deferBroadcasts(m))
		require.Equal(t, Sent{Queued: 2}, m.Broadcast(Text("deferred")))
		require.Empty(t, trs[1].frames(t))
		return m, to, trs[1]
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()

	runInFakeTime(t, "Shutdown", func(t *testing.T) {
		m, _, tr := hold(t)
		m.active.Add() // Shutdown must not take the fake connections for ended
		require.Error(t, m.Shutdown(ended))
		m.active.Done()
		require.Equal(t, []string{"deferred", "0x8"}, tr.frames(t))
	})
	runInFakeTime(t, "the peer's close frame", func(t *testing.T) {
		_, to, tr := hold(t)
		require.ErrorIs(t, (*openFrames)(to).OnClose(1000, ""), errEnded)
		require.Equal(t, []string{"deferred", "0x8"}, tr.frames(t))
	})
	runInFakeTime(t, "a callback's CloseError", func(t *testing.T) {
		m, to, tr := hold(t)
		m.callbacks.OnMessage = func(*Conn, Message) error { return &CloseError{Code: 1000} }
		require.NoError(t, (*openFrames)(to).OnData(ws.OpText, nil, false))
		require.Equal(t, []string{"deferred", "0x8"}, tr.frames(t))
	})
	runInFakeTime(t, "the peer vanishes", func(t *testing.T) {
		m, to, tr := hold(t)
		to.session().finish(io.EOF)
		require.Empty(t, tr.frames(t))
		require.EqualValues(t, 1, m.Stats().Dropped.Closed, "the broadcast was counted as queued")
	})
	runInFakeTime(t, "the connection is cut", func(t *testing.T) {
		m, to, tr := hold(t)
		m.Broadcast(Text("deferred as well"))
		to.mu.Lock()
		to.life.cut(to.session(), &CloseError{Code: StatusAbnormalClosure})
		to.mu.Unlock()
		m.broadcaster.FlushDeferred()
		require.Empty(t, tr.frames(t))
		require.EqualValues(t, 2, m.Stats().Dropped.Closed, "both broadcasts were counted as queued")
	})
	runInFakeTime(t, "the end of the segment", func(t *testing.T) {
		_, to, tr := hold(t)
		require.NoError(t, to.session().consume(segment("x")))
		require.Equal(t, []string{"deferred"}, tr.frames(t), "delivered at the end of the messages, not by the timer")
	})
}

// A connection that becomes ready or is accepted after a broadcast does not get it, even if
// it has not been delivered yet.
func TestDeferredBroadcastsDoNotReachLaterConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the timer does not fire
		m, _, _, _ := batchManager(t, Options{}, nil)
		deferred := newFakeTransport(1 << 20)
		d := fakeConn(t, m, "deferred", deferred, Accept{Deferred: true})
		defer deferBroadcasts(m)()

		m.Broadcast(Text("before Ready"))
		require.NoError(t, d.Ready(0))
		m.Broadcast(Text("before the handshake"))
		client := wstest.DialHandler(t, m, "/", nil, wstest.Memory{})
		m.Broadcast(Text("after"))
		m.broadcaster.FlushDeferred()
		require.Equal(t, []string{"before the handshake", "after"}, deferred.frames(t))
		client.ExpectText("after")
		require.NoError(t, client.Conn().Close())
		synctest.Wait()
	})
}
