package wsmanager

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/broadcast"
	"github.com/speakingtube/speakingtube/wsmanager/internal/names"
)

// gatedSet is a set whose first walk blocks, so that broadcasts are queued behind the first
// one.
type gatedSet struct {
	broadcast.Set[*broadcastConn]
	looked  atomic.Bool
	entered chan struct{} // closed by the first walk
	gate    chan struct{}
}

func (g *gatedSet) AppendTo(list []broadcast.Recipient[*broadcastConn]) []broadcast.Recipient[*broadcastConn] {
	if g.looked.CompareAndSwap(false, true) {
		close(g.entered)
		<-g.gate
	}
	return g.Set.AppendTo(list)
}

// broadcastAsBatch runs the broadcasts so that the first is delivered alone, and all others as one
// batch in their order.
func broadcastAsBatch(t *testing.T, m *Manager, calls ...func() Sent) []Sent {
	t.Helper()
	q := &m.broadcaster.All
	set := q.Set
	defer func() { q.Set = set }()
	g := &gatedSet{Set: set, entered: make(chan struct{}), gate: make(chan struct{})}
	q.Set = g
	sent := make([]Sent, len(calls))
	first := make(chan struct{})
	go func() {
		defer close(first)
		sent[0] = calls[0]()
	}()
	<-g.entered
	for i, call := range calls[1:] {
		sent[i+1] = call()
	}
	close(g.gate)
	<-first
	require.Eventually(t, func() bool { return q.State() == broadcast.QueueState{} }, 10*time.Second, 50*time.Microsecond)
	return sent
}

// texts returns n broadcasts with the texts t0, t1 and so on.
func texts(m *Manager, n int) (calls []func() Sent) {
	for i := range n {
		calls = append(calls, func() Sent {
			return m.broadcast(&m.broadcaster.All, Prepare(Text(fmt.Sprintf("t%d", i))), names.Set{})
		})
	}
	return calls
}

// Broadcasts that are made during a delivery are delivered together: one write for each
// receiver, in order.
func TestPendingBroadcastsAreJoined(t *testing.T) {
	m, _ := fakeManager(t, Options{})
	var trs []*fakeTransport
	for i := range 3 {
		tr := newFakeTransport(1 << 20)
		trs = append(trs, tr)
		fakeConn(t, m, fmt.Sprint(i), tr, Accept{})
	}
	for _, sent := range broadcastAsBatch(t, m, texts(m, 5)...) {
		require.Equal(t, Sent{Queued: 3}, sent)
	}
	for _, tr := range trs {
		require.Equal(t, []string{"t0", "t1", "t2", "t3", "t4"}, tr.frames(t))
		require.Equal(t, 2, tr.count(), "one write for the first broadcast and one for all others")
	}
	s := m.Stats()
	require.EqualValues(t, 15, s.MessagesOut)
	require.EqualValues(t, 3*trs[0].wrote.Len(), s.BytesOut)
}

// A connection that is excepted from one broadcast of a batch gets the others.
func TestJoinedBroadcastsWithExceptions(t *testing.T) {
	m, _ := fakeManager(t, Options{})
	a, b := newFakeTransport(1<<20), newFakeTransport(1<<20)
	fakeConn(t, m, "a", a, Accept{})
	fakeConn(t, m, "b", b, Accept{})
	calls := texts(m, 4)
	calls[2] = func() Sent {
		return m.broadcast(&m.broadcaster.All, Prepare(Text("not for a")), names.Of([]string{"a", "nobody"}))
	}
	require.Equal(t, []Sent{{Queued: 2}, {Queued: 2}, {Queued: 1}, {Queued: 2}}, broadcastAsBatch(t, m, calls...))
	require.Equal(t, []string{"t0", "t1", "t3"}, a.frames(t))
	require.Equal(t, []string{"t0", "t1", "not for a", "t3"}, b.frames(t))
}

// The kernel accepts a part of the joined frames and stops at any byte. Order and counts
// stay correct, and the slow-consumer policy applies to each message separately.
func TestJoinedBroadcastsTakenInPart(t *testing.T) {
	for room := range 30 { // t0 alone has 4 bytes, the five joined frames 20
		t.Run(fmt.Sprint(room), func(t *testing.T) {
			m, _ := fakeManager(t, Options{Outbox: Outbox{Messages: 2}, SlowConsumer: SlowConsumerDropNewest})
			tr := newFakeTransport(room)
			fakeConn(t, m, "a", tr, Accept{})
			for _, sent := range broadcastAsBatch(t, m, texts(m, 6)...) {
				require.Equal(t, 1, sent.Queued, "the caller does not wait for the batch")
			}
			tr.releaseWrites()
			awaitNoWriters(t, m)
			got := tr.frames(t)
			require.Subset(t, []string{"t0", "t1", "t2", "t3", "t4", "t5"}, got)
			require.IsIncreasing(t, got)
			s := m.Stats()
			require.EqualValues(t, len(got), s.MessagesOut)
			require.EqualValues(t, 6-len(got), s.Dropped.OutboxFull)
		})
	}
}

// Each variant has its own joined frames. A connection that became ready in a new variant
// after the broadcasts began gets none of them. A variant that can't be encoded drops only
// its own messages.
func TestJoinedBroadcastsInVariants(t *testing.T) {
	m, _ := fakeManager(t, Options{})
	trs := map[string]*fakeTransport{}
	for id, a := range map[string]Accept{"zero": {}, "one": {Variant: 1}, "bad": {Variant: 2}, "late": {Deferred: true}} {
		trs[id] = newFakeTransport(1 << 20)
		fakeConn(t, m, id, trs[id], a)
	}
	var calls []func() Sent
	for i := range 3 {
		p := PrepareFunc(func(v Variant) (Message, error) {
			if v == 2 {
				return Message{}, ErrMessageType
			}
			return Text(fmt.Sprintf("m%d in %d", i, v)), nil
		})
		calls = append(calls, func() Sent { return m.broadcast(&m.broadcaster.All, p, names.Set{}) })
	}
	calls = append(calls, func() Sent {
		late, _ := m.Conn("late")
		if err := late.Ready(3); err != nil { // require must not be called outside of the test's goroutine
			t.Error(err)
		}
		return m.broadcast(&m.broadcaster.All, Prepare(Text("for all")), names.Set{})
	})
	sent := broadcastAsBatch(t, m, calls...)
	for i := range sent[:3] {
		require.ErrorIs(t, sent[i].Err, ErrMessageType)
		sent[i].Err = nil
	}
	require.Equal(t, []Sent{{Queued: 2, Dropped: 1}, {Queued: 2, Dropped: 1}, {Queued: 2, Dropped: 1}, {Queued: 4}}, sent)
	require.Equal(t, []string{"m0 in 0", "m1 in 0", "m2 in 0", "for all"}, trs["zero"].frames(t))
	require.Equal(t, []string{"m0 in 1", "m1 in 1", "m2 in 1", "for all"}, trs["one"].frames(t))
	require.Equal(t, []string{"for all"}, trs["bad"].frames(t))
	require.Equal(t, []string{"for all"}, trs["late"].frames(t))
	require.Equal(t, Dropped{Unsendable: 3}, m.Stats().Dropped)
}

// A variant that no connection has at the moment is not a reason why connections do not get a
// message.
func TestVariantsOfFormerReceivers(t *testing.T) {
	m, _ := fakeManager(t, Options{})
	fakeConn(t, m, "zero", newFakeTransport(1<<20), Accept{Groups: []string{"g"}})
	one := fakeConn(t, m, "one", newFakeTransport(1<<20), Accept{Variant: 1, Groups: []string{"g"}})
	send := func(a Audience) Sent {
		return a.SendPrepared(PrepareFunc(func(v Variant) (Message, error) {
			if v != 0 {
				return Message{}, ErrMessageType
			}
			return Text("x"), nil
		}))
	}
	for _, a := range []Audience{m.All(), m.Group("g").Audience, m.Groups("g", "h"), m.Conns("zero", "one")} {
		sent := send(a)
		require.ErrorIs(t, sent.Err, ErrMessageType)
		require.Equal(t, Sent{Queued: 1, Dropped: 1, Err: sent.Err}, sent)
	}
	require.NoError(t, one.Close(StatusNormalClosure, ""))
	for _, a := range []Audience{m.All(), m.Group("g").Audience, m.Groups("g", "h"), m.Conns("zero", "one")} {
		require.Equal(t, Sent{Queued: 1}, send(a), "one is closing")
	}
	require.Equal(t, Dropped{Unsendable: 4}, m.Stats().Dropped)
}

// Broadcasts that are too big together are written one by one.
func TestBigBroadcastsAreNotJoined(t *testing.T) {
	m, _ := fakeManager(t, Options{})
	tr := newFakeTransport(1 << 20)
	fakeConn(t, m, "a", tr, Accept{})
	var calls []func() Sent
	for range 4 {
		calls = append(calls, func() Sent {
			return m.broadcast(&m.broadcaster.All, Prepare(Binary(make([]byte, 60<<10))), names.Set{})
		})
	}
	broadcastAsBatch(t, m, calls...)
	require.Len(t, tr.frames(t), 4)
	require.Equal(t, 4, tr.count())
}

// Joined broadcasts behind a queued direct send are queued as well.
func TestJoinedBroadcastsKeepOrderAgainstDirectSends(t *testing.T) {
	m, _ := fakeManager(t, Options{})
	tr := newFakeTransport(0)
	c := fakeConn(t, m, "a", tr, Accept{})
	sendAndBlock(t, c, tr, "half")
	require.NoError(t, c.Send(Text("direct")))
	tr.setRoom(1 << 20) // the kernel would accept more, but the queued frame must be written first
	broadcastAsBatch(t, m, texts(m, 4)...)
	require.NoError(t, c.Send(Text("direct too")))
	tr.releaseWrites()
	awaitNoWriters(t, m)
	require.Equal(t, []string{"half", "direct", "t0", "t1", "t2", "t3", "direct too"}, tr.frames(t))
}
