package wsmanager

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/broadcast"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// watchedSet reports each walk of its members. A batch walks the members once.
type watchedSet struct {
	broadcast.Set[*broadcastConn]
	lookups atomic.Int32
	look    func(n int)
}

func (w *watchedSet) AppendTo(list []broadcast.Recipient[*broadcastConn]) []broadcast.Recipient[*broadcastConn] {
	w.look(int(w.lookups.Add(1)))
	return w.Set.AppendTo(list)
}

// watchBatches calls look before the delivery of each batch of q, with the batch's number.
func watchBatches(q *broadcast.Queue[*broadcastConn], look func(n int)) {
	q.Set = &watchedSet{Set: q.Set, look: look}
}

// A caller that finds too many deferred broadcasts delivers these, but not those that other
// goroutines add meanwhile: it might never return.
func TestBroadcastThatMakesRoomDeliversOneBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the timer does not deliver anything
		m, _ := fakeManager(t, Options{})
		tr := newFakeTransport(1 << 20)
		fakeConn(t, m, "a", tr, Accept{})
		end := deferBroadcasts(m)
		for i := range broadcast.MaxPending {
			m.Broadcast(Text(fmt.Sprint(i)))
		}
		returned := make(chan struct{})
		watchBatches(&m.broadcaster.All, func(n int) {
			switch n {
			case 1:
				m.Broadcast(Text("of another"))
			case 2:
				select {
				case <-returned:
				case <-time.After(wstest.Patience):
					t.Error("the caller delivers a broadcast of another goroutine")
				}
			}
		})
		m.Broadcast(Text("last"))
		close(returned)
		end()
		m.broadcaster.FlushDeferred()
		awaitNoWriters(t, m)
		got := tr.frames(t)
		require.Len(t, got, broadcast.MaxPending+2)
		require.Equal(t, []string{"of another", "last"}, got[broadcast.MaxPending:])
	})
}

// lastReceiver is a transport that reports its first write.
type lastReceiver struct {
	*fakeTransport
	first func()
}

func (l *lastReceiver) TryWrite(p []byte) (int, error) {
	if f := l.first; f != nil {
		l.first = nil
		f()
	}
	return l.fakeTransport.TryWrite(p)
}

// A broadcast with exceptions that waits for room counts its receivers when it gets room.
// It does not start again because connections have joined or left meanwhile: in a busy
// group it might never finish.
func TestBroadcastWithExceptionsThatWaitsForRoom(t *testing.T) {
	for _, tt := range []struct {
		name      string
		meanwhile func(m *Manager, inside, outside, late *Conn) error
		sent      int // connections that get the broadcast
	}{
		{"no change", func(*Manager, *Conn, *Conn, *Conn) error { return nil }, 1},
		{"a connection joins", func(_ *Manager, _, _, late *Conn) error { return late.Join("g") }, 2},
		{"an excepted connection joins", func(_ *Manager, _, outside, _ *Conn) error { return outside.Join("g") }, 1},
		{"an excepted connection joins, leaves, and joins", func(_ *Manager, _, outside, _ *Conn) error {
			err := outside.Join("g")
			_ = outside.Leave("g")
			return errors.Join(err, outside.Join("g"))
		}, 1},
		{"an excepted connection leaves", func(_ *Manager, inside, _, _ *Conn) error { return inside.Leave("g") }, 1},
		{"an excepted connection closes", func(_ *Manager, inside, _, _ *Conn) error { return inside.Close(1000, "") }, 1},
		{"an excepted connection becomes ready", func(m *Manager, _, _, _ *Conn) error {
			c, _ := m.Conn("deferred")
			return c.Ready(0)
		}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, _ := fakeManager(t, Options{})
			in := Accept{Groups: []string{"g"}}
			insideGot, outsideGot := newFakeTransport(1<<20), newFakeTransport(1<<20)
			inside := fakeConn(t, m, "inside", insideGot, in)
			outside := fakeConn(t, m, "outside", outsideGot, Accept{})
			late := fakeConn(t, m, "late", newFakeTransport(1<<20), Accept{})
			fakeConn(t, m, "deferred", newFakeTransport(1<<20), Accept{Groups: []string{"g"}, Deferred: true})
			begun, open := make(chan struct{}), make(chan struct{})
			last := m.newConn("last", in, nil, "fake")
			last.m.register(last, in)
			last.session().attach(&lastReceiver{newFakeTransport(1 << 20), func() { close(begun); <-open }})
			defer func() { last.m.unregister(last); last.session().release() }()

			g, q := m.Group("g"), &m.groups.Get("g").Queue
			first := make(chan struct{})
			go func() { g.Send(Text("first")); close(first) }()
			<-begun
			for range broadcast.MaxPending {
				g.Send(Text("x"))
			}
			result := make(chan Sent)
			go func() {
				result <- g.Except("inside", "outside", "inside", "deferred").Send(Text("excepted"))
			}()
			require.Eventually(t, func() bool { return q.State().Waiting }, wstest.Patience, 50*time.Microsecond)
			require.NoError(t, tt.meanwhile(m, inside, outside, late))
			inside.mu.Lock() // the broadcast must not lock this connection again
			close(open)
			var sent Sent
			returned := false
			require.Eventually(t, func() bool {
				select {
				case sent = <-result:
					returned = true
					return true
				default:
				}
				state := q.State()
				return state.Batch > 1 && state.Waiting // the broadcast got no room in this batch and waits for the next
			}, wstest.Patience, 50*time.Microsecond, "the broadcast counts its receivers again")
			inside.mu.Unlock()
			if !returned {
				sent = <-result
			}
			require.Equal(t, Sent{Queued: tt.sent}, sent)
			<-first
			awaitNoWriters(t, m)
			require.NotContains(t, insideGot.frames(t), "excepted")
			require.NotContains(t, outsideGot.frames(t), "excepted")
			require.Zero(t, q.State().Counting)
		})
	}
}

// A broadcast without receivers does not keep the delivering goroutine busy: Shutdown waits
// for that goroutine.
func TestBroadcastWithoutReceiversIsNotQueued(t *testing.T) {
	const tries = 100
	m, _ := fakeManager(t, Options{})
	c := fakeConn(t, m, "a", newFakeTransport(1<<20), Accept{})
	q := &m.broadcaster.All
	lookups := 0
	watchBatches(q, func(n int) {
		lookups = n
		switch {
		case n == 1:
			m.Broadcast(Text("of another, during the first batch"))
		case n == 2:
			if err := c.Close(1000, ""); err != nil { // require must not be called outside of the test's goroutine
				t.Error(err)
			}
		}
		if n < tries {
			m.Broadcast(Text("others go on"))
		}
	})
	m.Broadcast(Text("first"))
	awaitNoWriters(t, m)
	require.Equal(t, 2, lookups)
	require.Equal(t, Sent{}, m.Broadcast(Text("after")))
	require.Equal(t, 2, lookups)
}
