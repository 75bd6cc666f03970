package wsmanager

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Closed connections leave no entry in the wheel, and an empty wheel has no timer.
func TestEndedConnectionsLeaveTheWheel(t *testing.T) {
	m, clock := fakeManager(t, Options{})
	var conns []*Conn
	for i := range 10 {
		c := m.newConn(string(rune('a'+i)), Accept{}, nil, "fake")
		c.m.register(c, Accept{})
		c.session().attach(newFakeTransport(1 << 20))
		conns = append(conns, c)
	}
	require.Equal(t, 10, m.wheel.Len())
	require.True(t, clock.Armed())
	for _, c := range conns {
		c.m.unregister(c)
		c.session().release()
	}
	require.Zero(t, m.wheel.Len())
	require.False(t, clock.Armed())
}

// trickle is a transport that accepts a few bytes after each AwaitWritable.
type trickle struct{ *fakeTransport }

func (t trickle) AwaitWritable() error {
	err := t.wait()
	t.setRoom(3)
	return err
}

// Every byte that a plain socket accepts counts as progress.
func TestEveryByteIsProgress(t *testing.T) {
	m, clock := fakeManager(t, Options{Timeouts: Timeouts{PingInterval: time.Hour, Idle: 2 * time.Hour}})
	tr := trickle{newFakeTransport(3)}
	c := m.newConn("a", Accept{}, nil, "fake")
	c.m.register(c, Accept{})
	c.session().attach(tr)
	require.NoError(t, c.Send(Binary(make([]byte, 100))))
	for range 15 {
		<-tr.entered
		clock.Step(9 * time.Second)
		require.False(t, c.reception.IsClosing(), "closed after 9 s, below the timeout")
		tr.proceed <- struct{}{}
	}
	<-tr.entered
	clock.Step(12 * time.Second)
	require.True(t, c.reception.IsClosing(), "not closed after 12 s, above the timeout")
	require.ErrorIs(t, c.life.cold.cause, ErrWriteTimeout)
	c.m.unregister(c)
	c.session().release()
	awaitNoWriters(t, m)
}
