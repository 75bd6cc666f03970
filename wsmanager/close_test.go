package wsmanager

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A connection without any backlog is cut after CloseTimeout as well.
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

// Once its close frame has come, a peer reads no data any more: what waits is
// dropped, counted, and does not hold up the close frame; be it that the peer began
// to close, or that its close frame crossed ours.
func TestPeersCloseFrameDropsWhatWaits(t *testing.T) {
	for name, begin := range map[string]func(*Conn) error{
		"the peer begins": func(*Conn) error { return nil },
		"both begin":      func(c *Conn) error { return c.Close(1000, "") },
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := fakeManager(t, Options{})
			tr := newFakeTransport(0)
			c := fakeConn(t, m, "a", tr, Accept{})
			stuck(t, c, tr, "half")
			require.NoError(t, c.Send(Text("waits")))
			require.NoError(t, begin(c))
			c.session().peerClosed(1000, "")
			require.EqualValues(t, 1, m.Stats().Dropped.Closed)
			tr.letGo()
			idle(t, m)
			require.Equal(t, []string{"half", "0x8"}, tr.frames(t))
			require.Equal(t, stateCut, c.life.state, "both close frames are through")
		})
	}
}

// The last message goes out behind what waits, even if nothing else would fit.
func TestCloseWithAFullOutbox(t *testing.T) {
	m, _ := fakeManager(t, Options{OutboxMessages: 3})
	tr := newFakeTransport(0)
	c := fakeConn(t, m, "a", tr, Accept{})
	stuck(t, c, tr, "half")
	require.NoError(t, c.Send(Text("1")))
	require.NoError(t, c.Send(Text("2")))
	require.NoError(t, c.CloseWith(Text("last"), 1000, ""))
	require.ErrorIs(t, c.Send(Text("x")), ErrClosed)
	tr.letGo()
	idle(t, m)
	require.Equal(t, []string{"half", "1", "2", "last", "0x8"}, tr.frames(t))
}

// lateWrite is a transport whose write is through only after it was closed.
type lateWrite struct {
	fakeBlocking
	through chan struct{}
}

func (t lateWrite) Write(p []byte, _ func()) (int, error) {
	t.entered <- struct{}{}
	<-t.through
	return len(p), nil
}

// What a writer writes when its connection was given back already is in Stats.
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
	idle(t, m)
	s := m.Stats()
	require.EqualValues(t, 3, s.BytesOut)
	require.EqualValues(t, 1, s.MessagesOut)
	require.Zero(t, s.Dropped)
}

// A peer that takes nothing is cut after WriteTimeout also while it is closing.
func TestWriteTimeoutWhileClosing(t *testing.T) {
	m, clock := fakeManager(t, Options{CloseTimeout: time.Hour})
	tr := newFakeTransport(0)
	c := fakeConn(t, m, "a", tr, Accept{})
	stuck(t, c, tr, "half")
	require.NoError(t, c.Close(1000, ""))
	clock.Step(9 * time.Second)
	require.Equal(t, stateClosing, c.life.state)
	clock.Step(3 * time.Second)
	require.Equal(t, stateCut, c.life.state)
}
