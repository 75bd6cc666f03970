package wsmanager

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A connection with an empty outbox is also cut after Timeouts.Close.
func TestCloseTimeoutWithoutABacklog(t *testing.T) {
	m, clock := fakeManager(t, Options{})
	tr := newFakeTransport(1 << 20)
	c := m.newConn("a", Accept{}, nil, "fake")
	c.m.register(c, Accept{})
	c.session().attach(tr)
	require.NoError(t, c.Close(1000, ""))
	require.Equal(t, []string{"0x8"}, tr.frames(t))
	clock.Step(4 * time.Second)
	require.Equal(t, stateClosing, c.life.state)
	clock.Step(3 * time.Second)
	require.Equal(t, stateCut, c.life.state)
	<-tr.closed
	c.m.unregister(c)
	c.session().release()
}

// A peer reads no data after its close frame. Queued messages are dropped and counted, and
// do not delay our close frame, whether the peer closes first or both close frames cross.
func TestPeersCloseFrameDropsQueuedMessages(t *testing.T) {
	for name, begin := range map[string]func(*Conn) error{
		"the peer begins": func(*Conn) error { return nil },
		"both begin":      func(c *Conn) error { return c.Close(1000, "") },
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := fakeManager(t, Options{})
			tr := newFakeTransport(0)
			c := fakeConn(t, m, "a", tr, Accept{})
			sendAndBlock(t, c, tr, "half")
			require.NoError(t, c.Send(Text("waits")))
			require.NoError(t, begin(c))
			c.session().peerClosed(1000, "")
			require.EqualValues(t, 1, m.Stats().Dropped.Closed)
			tr.releaseWrites()
			awaitNoWriters(t, m)
			require.Equal(t, []string{"half", "0x8"}, tr.frames(t))
			require.Equal(t, stateCut, c.life.state, "both close frames were exchanged")
		})
	}
}

// CloseWith queues the last message behind the other queued messages, even if the outbox is
// full.
func TestCloseWithAFullOutbox(t *testing.T) {
	m, _ := fakeManager(t, Options{Outbox: Outbox{Messages: 3}})
	tr := newFakeTransport(0)
	c := fakeConn(t, m, "a", tr, Accept{})
	sendAndBlock(t, c, tr, "half")
	require.NoError(t, c.Send(Text("1")))
	require.NoError(t, c.Send(Text("2")))
	require.NoError(t, c.CloseWith(Text("last"), 1000, ""))
	require.ErrorIs(t, c.Send(Text("x")), ErrClosed)
	tr.releaseWrites()
	awaitNoWriters(t, m)
	require.Equal(t, []string{"half", "1", "2", "last", "0x8"}, tr.frames(t))
}

// lateWrite is a transport whose write returns only after the transport was closed.
type lateWrite struct {
	fakeBlocking
	through chan struct{}
}

func (t lateWrite) Write(p []byte, _ func()) (int, error) {
	t.entered <- struct{}{}
	<-t.through
	return len(p), nil
}

// Stats include the bytes of a write that returns after the connection was released.
func TestStatsOfALateWrite(t *testing.T) {
	m, _ := fakeManager(t, Options{})
	tr := lateWrite{fakeBlocking{newFakeTransport(0).fakeWrites}, make(chan struct{})}
	c := m.newConn("a", Accept{}, nil, "fake")
	c.m.register(c, Accept{})
	c.session().attach(tr)
	require.NoError(t, c.Send(Text("x")))
	<-tr.entered
	c.m.unregister(c)
	c.session().release()
	close(tr.through)
	awaitNoWriters(t, m)
	s := m.Stats()
	require.EqualValues(t, 3, s.BytesOut)
	require.EqualValues(t, 1, s.MessagesOut)
	require.Zero(t, s.Dropped)
}

// While a connection is closing, Timeouts.Write applies to a peer that reads nothing.
func TestWriteTimeoutWhileClosing(t *testing.T) {
	m, clock := fakeManager(t, Options{Timeouts: Timeouts{Close: time.Hour}})
	tr := newFakeTransport(0)
	c := fakeConn(t, m, "a", tr, Accept{})
	sendAndBlock(t, c, tr, "half")
	require.NoError(t, c.Close(1000, ""))
	clock.Step(9 * time.Second)
	require.Equal(t, stateClosing, c.life.state)
	clock.Step(3 * time.Second)
	require.Equal(t, stateCut, c.life.state)
}
