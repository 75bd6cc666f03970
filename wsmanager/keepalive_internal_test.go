package wsmanager

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Connections that have ended leave nothing in the wheel, and the wheel no timer.
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

// trickle is a transport that takes a few bytes each time it is waited for.
type trickle struct{ *fakeTransport }

func (t trickle) AwaitWritable() error {
	err := t.wait()
	t.setRoom(3)
	return err
}

// Every byte that a plain socket takes is progress.
func TestEveryByteIsProgress(t *testing.T) {
	m, clock := fakeManager(t, Options{PingInterval: time.Hour, IdleTimeout: 2 * time.Hour})
	tr := trickle{newFakeTransport(3)}
	c := m.newConn("a", Accept{}, nil, "fake")
	c.m.register(c, Accept{})
	c.session().attach(tr)
	require.NoError(t, c.Send(Binary(make([]byte, 100))))
	for range 15 {
		<-tr.entered
		clock.Step(9 * time.Second)
		require.False(t, c.reception.isClosing(), "9 s are below the time-out")
		tr.goOn <- struct{}{}
	}
	<-tr.entered
	clock.Step(12 * time.Second)
	require.True(t, c.reception.isClosing(), "12 s are not")
	require.ErrorIs(t, c.life.cold.cause, ErrWriteTimeout)
	c.m.unregister(c)
	c.session().release()
	idle(t, m)
}
