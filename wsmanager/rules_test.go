package wsmanager

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
)

// meddling is a transport that uses the Manager in the middle of a write, as any
// other goroutine may at that moment. Were a lock of the registry or of groups
// held, it would wait for ever.
type meddling struct {
	*fakeTransport
	meddle func()
}

func (t *meddling) TryWrite(p []byte) (int, error) {
	t.meddle()
	return t.fakeTransport.TryWrite(p)
}

// Of single messages; for batches see TestBatchThatStallsHoldsUpNoOtherConnection.
func TestNoLockIsHeldWhileWriting(t *testing.T) {
	m, _ := fakeManager(t, Options{})
	tr := &meddling{fakeTransport: newFakeTransport(1 << 20)}
	writes := 0
	tr.meddle = func() {
		writes++
		a := Accept{Groups: []string{"g", "h"}}
		other := m.newConn(fmt.Sprint("meddler", writes), a, nil, "fake")
		other.m.register(other, a) // takes the write locks
		if m.Group("g").Len() != 2 || m.Len() != 2 || len(m.Stats().Closed) != 0 {
			t.Error("the meddler is not there")
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
		"Broadcast":           m.Broadcast,
		"BroadcastExcept":     func(msg Message) Sent { return m.BroadcastExcept(msg, "b") },
		"BroadcastFunc":       func(msg Message) Sent { return m.BroadcastFunc(msg, want) },
		"Group.Broadcast":     m.Group("g").Broadcast,
		"Group.BroadcastFunc": func(msg Message) Sent { return m.Group("g").BroadcastFunc(msg, want) },
		"SendUser":            func(msg Message) Sent { return m.SendUser("ann", msg) },
	} {
		writes = 0
		require.Equal(t, Sent{Queued: 1}, send(Text(name)), name)
		require.Equal(t, 1, writes)
	}
}

func TestNoLockIsHeldWhileTheApplicationIsAsked(t *testing.T) {
	m, _ := fakeManager(t, Options{})
	c := fakeConn(t, m, "a", newFakeTransport(1<<20), Accept{Groups: []string{"g"}})
	asked := 0
	meddle := func() {
		asked++
		require.NoError(t, c.Join(fmt.Sprint(asked)))
		c.Leave("g")
		require.NoError(t, c.Join("g"))
		require.NoError(t, c.Send(Text("x")))
		require.Equal(t, Sent{Queued: 1}, m.Group("g").Broadcast(Text("x")))
	}
	want := func(*Conn) bool { meddle(); return true }
	encoding := func() *Prepared {
		return PrepareFunc(func(Variant) (Message, error) { meddle(); return Text("x"), nil })
	}
	m.BroadcastFunc(Text("x"), want)
	m.Group("g").BroadcastFunc(Text("x"), want)
	m.BroadcastPrepared(encoding())
	m.Group("g").BroadcastPrepared(encoding())
	require.NoError(t, c.SendPrepared(encoding()))
	for range m.All() {
		meddle()
	}
	for range m.Group("g").Members() {
		meddle()
	}
	require.Equal(t, 7, asked)
}

// However many messages wait, one goroutine writes them, and none does when
// nothing waits.
func TestNoGoroutinePerMessage(t *testing.T) {
	m, _ := fakeManager(t, Options{})
	tr := newFakeTransport(0)
	c := fakeConn(t, m, "a", tr, Accept{})
	before := runtime.NumGoroutine()
	stuck(t, c, tr, "half")
	for range 100 {
		require.NoError(t, c.Send(Text("x")))
		require.Equal(t, Sent{Queued: 1}, m.Broadcast(Text("x")))
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), before+1)
	tr.letGo()
	idle(t, m)
	require.Len(t, tr.frames(t), 201)
	require.Nil(t, c.out.outbox)
}

// Nothing gets into the middle of a frame of which a part has left, not even a
// control frame, and not even if the socket would take it.
func TestNothingInTheMiddleOfAFrame(t *testing.T) {
	m, _ := fakeManager(t, Options{})
	tr := newFakeTransport(0)
	c := fakeConn(t, m, "a", tr, Accept{})
	stuck(t, c, tr, "half of it is out")
	tr.setRoom(1 << 20)
	require.NoError(t, (*openFrames)(c).OnPing([]byte("p")))
	c.mu.Lock()
	c.out.sendControl(c.session(), ws.OpPing, nil)
	c.mu.Unlock()
	require.NoError(t, c.Send(Text("direct")))
	require.Equal(t, Sent{Queued: 1}, m.Broadcast(Text("to all")))
	require.NoError(t, c.Close(1000, ""))
	tr.letGo()
	idle(t, m)
	require.Equal(t, []string{"half of it is out", "direct", "to all", "0x8"}, tr.frames(t), "whole frames, and none but messages between a message and the close frame")
}

// A panic fails the connection: what waits is dropped, and the close frame does
// not wait behind it.
func TestPanicDropsWhatWaits(t *testing.T) {
	m, _ := fakeManager(t, Options{})
	tr := newFakeTransport(0)
	c := fakeConn(t, m, "a", tr, Accept{})
	stuck(t, c, tr, "half")
	require.NoError(t, c.Send(Text("waits")))
	m.callbacks.OnMessage = func(*Conn, Message) error { panic("oh") }
	c.session().finish((*openFrames)(c).OnData(ws.OpText, nil, false))
	tr.letGo()
	idle(t, m)
	require.Equal(t, []string{"half", "0x8"}, tr.frames(t))
	require.Equal(t, uint64(1), m.Stats().Dropped.Closed)
}

// A ping that is due and the answer to the peer's newest wait in places of their
// own, before all messages that wait.
func TestPingAndPongWaitSideBySide(t *testing.T) {
	m, _ := fakeManager(t, Options{})
	tr := newFakeTransport(0)
	c := fakeConn(t, m, "a", tr, Accept{})
	stuck(t, c, tr, "half")
	require.NoError(t, c.Send(Text("waits")))
	for range 3 {
		require.NoError(t, (*openFrames)(c).OnPing([]byte("p")))
		c.mu.Lock()
		c.out.sendControl(c.session(), ws.OpPing, nil)
		c.mu.Unlock()
	}
	tr.letGo()
	idle(t, m)
	require.Equal(t, []string{"half", "0xa", "0x9", "waits"}, tr.frames(t))
}
