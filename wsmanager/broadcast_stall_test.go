package wsmanager

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/broadcast"
	"github.com/speakingtube/speakingtube/wsmanager/internal/stepclock"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// gate is a transport whose first write blocks until the gate opens.
type gate struct {
	*fakeTransport
	begun, open chan struct{}
}

func newGate() *gate {
	return &gate{newFakeTransport(1 << 20), make(chan struct{}), make(chan struct{})}
}

func (g *gate) TryWrite(p []byte) (int, error) {
	select {
	case <-g.begun:
	default:
		close(g.begun)
		<-g.open
	}
	return g.fakeTransport.TryWrite(p)
}

// stalled is a Manager with a batch whose delivery, to all or to a group, is blocked at one
// connection.
type stalled struct {
	m        *Manager
	gate     *gate
	receiver *Conn // receives the batch; its own transport does not block
	got      *fakeTransport
	other    *Conn // receives the batch only if it is for all
	otherGot *fakeTransport
	toAll    bool
}

// batch has the texts of the batch.
var batch = []string{"b0", "b1", "b2"}

// stall begins the delivery of the batch. way selects how the batch is formed.
func stall(t *testing.T, toAll bool, way string) *stalled {
	t.Helper()
	m, _ := fakeManager(t, Options{})
	s := &stalled{m: m, gate: newGate(), got: newFakeTransport(1 << 20), otherGot: newFakeTransport(1 << 20), toAll: toAll}
	a := Accept{Groups: []string{"g"}}
	c := m.newConn("stalled", a, nil, "fake")
	c.m.register(c, a)
	c.session().attach(s.gate)
	s.receiver = fakeConn(t, m, "receiver", s.got, a)
	s.other = fakeConn(t, m, "other", s.otherGot, Accept{Groups: []string{"h"}})
	send := m.Group("g").Send
	if toAll {
		send = m.Broadcast
	}
	q := &m.groups.Get("g").Queue
	if toAll {
		q = &m.broadcaster.All
	}
	switch way {
	case "deferred":
		// The end of broadcast.MaxDefer would end the epoch: the rest of the batch would be delivered
		// on this goroutine, which would wait for itself at the gate.
		m.broadcaster.MaxDefer = time.Hour
		end := deferBroadcasts(m)
		for _, text := range batch {
			send(Text(text))
		}
		end()
		m.active.Add()
		go func() {
			defer m.active.Done()
			m.broadcaster.FlushDeferred()
		}()
	case "queued":
		g := &gatedSet{Set: q.Set, entered: make(chan struct{}), gate: make(chan struct{})}
		q.Set = g
		m.active.Add()
		go func() {
			defer m.active.Done()
			send(Text(batch[0]))
		}()
		<-g.entered
		for _, text := range batch[1:] {
			send(Text(text))
		}
		close(g.gate)
	}
	<-s.gate.begun
	t.Cleanup(func() {
		awaitNoWriters(t, m)
		c.m.unregister(c)
		c.session().release()
	})
	return s
}

// While the delivery of a batch is blocked at one connection, operations on other
// connections do not block. Messages to a receiver of the batch arrive after the batch.
func TestBatchThatStallsHoldsUpNoOtherConnection(t *testing.T) {
	ops := []struct {
		name     string
		do       func(s *stalled)
		receiver []string // frames after the batch
		other    []string
	}{
		{"Send to a receiver", func(s *stalled) { _ = s.receiver.Send(Text("x")) }, []string{"x"}, nil},
		{"Send to another", func(s *stalled) { _ = s.other.Send(Text("x")) }, nil, []string{"x"}},
		{"SendPrepared", func(s *stalled) { _ = s.receiver.SendPrepared(Prepare(Text("x"))) }, []string{"x"}, nil},
		{"SendContext", func(s *stalled) { _ = s.receiver.SendContext(s.receiver.Context(), Text("x")) }, []string{"x"}, nil},
		{"Close of a receiver", func(s *stalled) { _ = s.receiver.Close(1000, "") }, []string{"0x8"}, nil},
		{"Close of another", func(s *stalled) { _ = s.other.Close(1000, "") }, nil, []string{"0x8"}},
		{"CloseWith", func(s *stalled) { _ = s.receiver.CloseWith(Text("x"), 1000, "") }, []string{"x", "0x8"}, nil},
		{"a close frame of a receiver", func(s *stalled) { _ = (*openFrames)(s.receiver).OnClose(1000, "") }, []string{"0x8"}, nil},
		{"a ping of a receiver", func(s *stalled) { _ = (*openFrames)(s.other).OnPing(nil) }, nil, []string{"0xa"}},
		{"Join", func(s *stalled) { _ = s.other.Join("g") }, nil, nil},
		{"Join of a receiver", func(s *stalled) { _ = s.receiver.Join("new") }, nil, nil},
		{"Leave of a receiver", func(s *stalled) { _ = s.receiver.Leave("g") }, nil, nil},
		{"an accept", func(s *stalled) {
			a := Accept{Groups: []string{"g"}, User: "ann"}
			c := s.m.newConn("new", a, nil, "fake")
			c.m.register(c, a)
			abandon(c)
		}, nil, nil},
		{"Ready", func(s *stalled) {
			c := s.m.newConn("deferred", Accept{Deferred: true}, nil, "fake")
			c.m.register(c, Accept{Deferred: true})
			_ = c.Ready(0)
			abandon(c)
		}, nil, nil},
		{"a broadcast to others", func(s *stalled) { s.m.Group("h").Send(Text("x")) }, nil, []string{"x"}},
		{"a broadcast to some", func(s *stalled) {
			s.m.All().WhereLocal(func(c *Conn) bool { return c == s.receiver }).Send(Text("x"))
		}, []string{"x"}, nil},
		{"a walk and Stats", func(s *stalled) {
			for range s.m.All().Local() {
				s.m.Stats()
			}
			_ = s.m.Group("g").Len()
		}, nil, nil},
	}
	for _, toAll := range []bool{true, false} {
		for _, way := range []string{"deferred", "queued"} {
			for _, op := range ops {
				t.Run(fmt.Sprintf("toAll=%v/%s/%s", toAll, way, op.name), func(t *testing.T) {
					s := stall(t, toAll, way)
					done := make(chan struct{})
					go func() {
						op.do(s)
						close(done)
					}()
					select {
					case <-done:
					case <-time.After(wstest.Patience):
						t.Error("the operation waits for the batch")
					}
					close(s.gate.open)
					awaitNoWriters(t, s.m)
					require.Equal(t, append(append([]string(nil), batch...), op.receiver...), s.got.frames(t))
					other := op.other
					if toAll {
						other = append(append([]string(nil), batch...), other...)
					}
					if op.name == "a ping of a receiver" {
						require.ElementsMatch(t, other, s.otherGot.frames(t), "pongs are not ordered with broadcasts")
						return
					}
					require.Equal(t, other, s.otherGot.frames(t))
				})
			}
		}
	}
}

// Sends during the delivery of a batch do not deliver it a second time. The batch costs one
// write for each receiver.
func TestBatchIsOneWriteForEachReceiver(t *testing.T) {
	s := stall(t, true, "deferred")
	close(s.gate.open)
	awaitNoWriters(t, s.m)
	require.Equal(t, 1, s.got.count())
	require.Equal(t, 1, s.gate.count())
	require.Equal(t, batch, s.gate.frames(t))
}

// steppingTransport advances the test's clock in each write.
type steppingTransport struct {
	*fakeTransport
	clock *stepclock.Clock
	takes time.Duration
}

func (s *steppingTransport) TryWrite(p []byte) (int, error) {
	s.clock.Step(s.takes)
	return s.fakeTransport.TryWrite(p)
}

// A goroutine that broadcasts faster than broadcasts can be delivered one by one does not
// wait for the deliveries. A slower goroutine delivers each broadcast itself, at once. So
// does any goroutine that broadcasts to few receivers.
func TestBroadcastsInQuickSuccessionAreJoined(t *testing.T) {
	for _, tt := range []struct {
		name         string
		receivers    int
		takes, pause time.Duration
		atOnce       bool
	}{
		{"quick succession", broadcast.MinHandover, time.Millisecond, 0, false},
		{"a pause shorter than a delivery", broadcast.MinHandover, time.Millisecond, time.Millisecond / 2, false},
		{"a pause longer than a delivery", broadcast.MinHandover, time.Millisecond, broadcast.MinHandover * 2 * time.Millisecond, true},
		{"few receivers", broadcast.MinHandover - 1, time.Millisecond, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, clock := fakeManager(t, Options{})
			conns, trs := make([]*Conn, tt.receivers), make([]*fakeTransport, tt.receivers)
			for i := range conns {
				trs[i] = newFakeTransport(1 << 20)
				conns[i] = m.newConn(fmt.Sprint(i), Accept{}, nil, "fake")
				conns[i].m.register(conns[i], Accept{})
				conns[i].session().attach(&steppingTransport{trs[i], clock, tt.takes})
				defer func() { conns[i].m.unregister(conns[i]); conns[i].session().release() }()
			}
			require.Equal(t, Sent{Queued: tt.receivers}, m.Broadcast(Text("0")))
			for _, tr := range trs {
				require.Equal(t, []string{"0"}, tr.frames(t), "a single broadcast is delivered at once")
			}

			conns[0].mu.Lock() // blocks the delivery
			clock.Step(tt.pause)
			returned := make(chan struct{})
			go func() {
				for i := range 4 {
					m.Broadcast(Text(fmt.Sprint(i + 1)))
				}
				close(returned)
			}()
			if tt.atOnce {
				require.Never(t, func() bool {
					select {
					case <-returned:
						return true
					default:
						return false
					}
				}, 20*time.Millisecond, time.Millisecond)
				conns[0].mu.Unlock()
				<-returned
				awaitNoWriters(t, m)
				return
			}
			<-returned
			conns[0].mu.Unlock()
			awaitNoWriters(t, m)
			for _, tr := range trs {
				require.Equal(t, []string{"0", "1", "2", "3", "4"}, tr.frames(t))
				require.Less(t, tr.count(), 5)
			}
		})
	}
}

// The number and size of pending broadcasts are limited. A caller above the limit waits for
// the batch that is being delivered.
func TestPendingBroadcastsAreBounded(t *testing.T) {
	for _, tt := range []struct {
		name string
		size int
		room int // broadcasts that fit behind the batch being delivered
	}{
		{"many", 10, broadcast.MaxPending},
		{"big", broadcast.MaxJoined, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, _ := fakeManager(t, Options{})
			g := newGate()
			g.setRoom(1 << 30)
			c := m.newConn("a", Accept{}, nil, "fake")
			c.m.register(c, Accept{})
			c.session().attach(g)
			defer func() { c.m.unregister(c); c.session().release() }()
			msg := Binary(make([]byte, tt.size))
			first := make(chan struct{})
			go func() { m.Broadcast(msg); close(first) }()
			<-g.begun
			for range tt.room {
				require.Equal(t, Sent{Queued: 1}, m.Broadcast(msg))
			}
			more := make(chan struct{})
			go func() { m.Broadcast(msg); close(more) }()
			q := &m.broadcaster.All
			require.Eventually(t, func() bool { return q.State().Waiting }, wstest.Patience, 50*time.Microsecond)
			close(g.open)
			<-first
			<-more
			awaitNoWriters(t, m)
			require.Len(t, g.frames(t), tt.room+2)
		})
	}
}
