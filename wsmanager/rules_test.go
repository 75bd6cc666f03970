package wsmanager

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
)

// reentrantTransport uses the Manager during a write, as other goroutines may. It would
// deadlock if the writer held a lock of the registry or of groups.
type reentrantTransport struct {
	*fakeTransport
	reenter func()
}

func (t *reentrantTransport) TryWrite(p []byte) (int, error) {
	t.reenter()
	return t.fakeTransport.TryWrite(p)
}

// This covers single messages. For batches see TestBatchThatStallsHoldsUpNoOtherConnection.
func TestNoLockIsHeldWhileWriting(t *testing.T) {
	m, _ := fakeManager(t, Options{})
	tr := &reentrantTransport{fakeTransport: newFakeTransport(1 << 20)}
	writes := 0
	tr.reenter = func() {
		writes++
		a := Accept{Groups: []string{"g", "h"}}
		other := m.newConn(fmt.Sprint("other", writes), a, nil, "fake")
		other.m.register(other, a) // needs the write locks
		if m.Group("g").Len() != 2 || m.All().Len() != 2 || len(m.Stats().Closed) != 0 {
			t.Error("the other connection is not registered")
		}
		other.m.unregister(other)
	}
	a := Accept{User: "ann", Groups: []string{"g"}}
	c := m.newConn("a", a, nil, "fake")
	c.m.register(c, a)
	c.session().attach(tr)
	defer func() { c.m.unregister(c); c.session().release() }()
	want := func(*Conn) bool { return true }
	for name, send := range map[string]func(Message) Sent{
		"Broadcast":             m.Broadcast,
		"All.Except.Send":       func(msg Message) Sent { return m.All().Except("b").Send(msg) },
		"All.WhereLocal.Send":   func(msg Message) Sent { return m.All().WhereLocal(want).Send(msg) },
		"Group.Send":            m.Group("g").Send,
		"Group.WhereLocal.Send": func(msg Message) Sent { return m.Group("g").WhereLocal(want).Send(msg) },
		"Groups.Send":           func(msg Message) Sent { return m.Groups("g", "h").Send(msg) },
		"Conns.Send":            func(msg Message) Sent { return m.Conns("a", "b").Send(msg) },
		"Users.Send":            func(msg Message) Sent { return m.Users("ann").Send(msg) },
	} {
		writes = 0
		require.Equal(t, Sent{Queued: 1}, send(Text(name)), name)
		require.Equal(t, 1, writes)
	}
}

func TestNoLockIsHeldInFiltersAndEncoders(t *testing.T) {
	m, _ := fakeManager(t, Options{})
	c := fakeConn(t, m, "a", newFakeTransport(1<<20), Accept{Groups: []string{"g"}})
	asked := 0
	reenter := func() {
		asked++
		require.NoError(t, c.Join(fmt.Sprint(asked)))
		require.NoError(t, c.Leave("g"))
		require.NoError(t, c.Join("g"))
		require.NoError(t, c.Send(Text("x")))
		require.Equal(t, Sent{Queued: 1}, m.Group("g").Send(Text("x")))
	}
	want := func(*Conn) bool { reenter(); return true }
	encoding := func() *Prepared {
		return PrepareFunc(func(Variant) (Message, error) { reenter(); return Text("x"), nil })
	}
	m.All().WhereLocal(want).Send(Text("x"))
	m.Group("g").WhereLocal(want).Send(Text("x"))
	m.All().SendPrepared(encoding())
	m.Group("g").SendPrepared(encoding())
	require.NoError(t, c.SendPrepared(encoding()))
	for range m.All().Local() {
		reenter()
	}
	for range m.Group("g").Local() {
		reenter()
	}
	require.Equal(t, 7, asked)
}

// One goroutine writes all queued messages, and none runs when the queue is empty.
func TestNoGoroutinePerMessage(t *testing.T) {
	m, _ := fakeManager(t, Options{})
	tr := newFakeTransport(0)
	c := fakeConn(t, m, "a", tr, Accept{})
	before := runtime.NumGoroutine()
	sendAndBlock(t, c, tr, "half")
	for range 100 {
		require.NoError(t, c.Send(Text("x")))
		require.Equal(t, Sent{Queued: 1}, m.Broadcast(Text("x")))
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), before+1)
	tr.releaseWrites()
	awaitNoWriters(t, m)
	require.Len(t, tr.frames(t), 201)
	require.True(t, c.out.Idle())
}

// Nothing is written inside a partly written frame, not even a control frame and not even if
// the socket would accept it.
func TestNothingInTheMiddleOfAFrame(t *testing.T) {
	m, _ := fakeManager(t, Options{})
	tr := newFakeTransport(0)
	c := fakeConn(t, m, "a", tr, Accept{})
	sendAndBlock(t, c, tr, "half of it is out")
	tr.setRoom(1 << 20)
	require.NoError(t, (*openFrames)(c).OnPing([]byte("p")))
	c.mu.Lock()
	c.out.SendControl(c.session(), ws.OpPing, nil)
	c.mu.Unlock()
	require.NoError(t, c.Send(Text("direct")))
	require.Equal(t, Sent{Queued: 1}, m.Broadcast(Text("to all")))
	require.NoError(t, c.Close(1000, ""))
	tr.releaseWrites()
	awaitNoWriters(t, m)
	require.Equal(t, []string{"half of it is out", "direct", "to all", "0x8"}, tr.frames(t), "complete frames, and only messages before the close frame")
}

// A panic fails the connection: queued messages are dropped, and the close frame is sent
// without waiting for them.
func TestPanicDropsQueuedMessages(t *testing.T) {
	m, _ := fakeManager(t, Options{})
	tr := newFakeTransport(0)
	c := fakeConn(t, m, "a", tr, Accept{})
	sendAndBlock(t, c, tr, "half")
	require.NoError(t, c.Send(Text("waits")))
	m.callbacks.OnMessage = func(*Conn, Message) error { panic("oh") }
	c.session().finish((*openFrames)(c).OnData(ws.OpText, nil, false))
	tr.releaseWrites()
	awaitNoWriters(t, m)
	require.Equal(t, []string{"half", "0x8"}, tr.frames(t))
	require.Equal(t, uint64(1), m.Stats().Dropped.Closed)
}

// A due ping and the pong for the newest ping of the peer are queued separately, before all
// queued messages.
func TestPingAndPongAreQueuedSeparately(t *testing.T) {
	m, _ := fakeManager(t, Options{})
	tr := newFakeTransport(0)
	c := fakeConn(t, m, "a", tr, Accept{})
	sendAndBlock(t, c, tr, "half")
	require.NoError(t, c.Send(Text("waits")))
	for range 3 {
		require.NoError(t, (*openFrames)(c).OnPing([]byte("p")))
		c.mu.Lock()
		c.out.SendControl(c.session(), ws.OpPing, nil)
		c.mu.Unlock()
	}
	tr.releaseWrites()
	awaitNoWriters(t, m)
	require.Equal(t, []string{"half", "0xa", "0x9", "waits"}, tr.frames(t))
}
