package wsmanager

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// stepClock is a clock that moves only when it is told to. Its timers run on the
// goroutine that steps it.
type stepClock struct {
	mu    sync.Mutex
	t     time.Time
	timer func()
	at    time.Time
}

func newStepClock() *stepClock { return &stepClock{t: time.Unix(1e9, 0)} }

func (c *stepClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *stepClock) afterFunc(d time.Duration, f func()) func() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		panic("a wheel has one timer")
	}
	c.timer, c.at = f, c.t.Add(d)
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		stopped := c.timer != nil
		c.timer = nil
		return stopped
	}
}

// step moves the clock on, and runs the timer whenever it is due on the way.
func (c *stepClock) step(d time.Duration) {
	c.mu.Lock()
	end := c.t.Add(d)
	for c.timer != nil && !c.at.After(end) {
		f := c.timer
		c.timer, c.t = nil, c.at
		c.mu.Unlock()
		f()
		c.mu.Lock()
	}
	c.t = end
	c.mu.Unlock()
}

func (c *stepClock) armed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.timer != nil
}

// entries counts what is in the wheel, by its lists.
func (w *wheel) entries() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, c := range w.slots {
		for ; c != nil; c = c.wheel.next {
			n++
		}
	}
	return n
}

func TestWheel(t *testing.T) {
	clock := newStepClock()
	m, err := newManager(Callbacks{}, Options{}, clock)
	require.NoError(t, err)
	w := &m.wheel
	conn := func() *Conn { return &Conn{m: m, state: stateCut} } // due leaves it out of the wheel
	require.False(t, clock.armed(), "an empty wheel needs no timer")

	a, b, c := conn(), conn(), conn()
	w.schedule(a, 3)
	w.schedule(b, 3)
	w.schedule(c, 3)
	w.schedule(b, 3) // again
	w.schedule(c, 5) // later
	require.Equal(t, 3, w.entries())
	require.True(t, clock.armed())
	clock.step(2 * w.tick)
	require.Equal(t, 3, w.entries())
	clock.step(w.tick)
	require.Equal(t, 1, w.entries())
	w.remove(c)
	w.remove(c)
	require.Equal(t, 0, w.entries())
	require.False(t, clock.armed(), "nor does one that is empty again")

	clock.step(1000 * w.tick)
	now := w.now()
	w.schedule(a, now+1)
	w.schedule(b, now-100) // overdue
	w.schedule(c, now+10*wheelSlots)
	clock.step(2 * w.tick)
	require.Equal(t, 1, w.entries())
	clock.step(3 * wheelSlots * w.tick)
	require.Equal(t, 0, w.entries(), "beyond a turn it is looked at again, and due says when")
	require.False(t, clock.armed())
}

// A wheel that was held up for more than a turn misses nobody.
func TestWheelHeldUp(t *testing.T) {
	clock := newStepClock()
	m, err := newManager(Callbacks{}, Options{}, clock)
	require.NoError(t, err)
	w := &m.wheel
	for i := range int64(100) {
		w.schedule(&Conn{m: m, state: stateCut}, 1+i)
	}
	clock.mu.Lock()
	f := clock.timer
	clock.timer = nil
	clock.t = clock.t.Add(5 * wheelSlots * w.tick)
	clock.mu.Unlock()
	f()
	require.Equal(t, 0, w.entries())
}

// Connections that have ended leave nothing in the wheel, and the wheel no timer.
func TestEndedConnectionsLeaveTheWheel(t *testing.T) {
	m, clock := fakeManager(t, Options{})
	var conns []*Conn
	for i := range 10 {
		c := m.newConn(string(rune('a'+i)), Accept{}, nil, "fake")
		c.register(Accept{})
		c.attach(newFakeTransport(1 << 20))
		conns = append(conns, c)
	}
	require.Equal(t, 10, m.wheel.count)
	require.True(t, clock.armed())
	for _, c := range conns {
		c.unregister()
		c.release()
	}
	require.Zero(t, m.wheel.count)
	require.False(t, clock.armed())
}

// trickle is a transport that takes a few bytes each time it is waited for.
type trickle struct{ *fakeTransport }

func (t trickle) awaitWritable() error {
	err := t.wait()
	t.setRoom(3)
	return err
}

// Every byte that a plain socket takes is progress.
func TestEveryByteIsProgress(t *testing.T) {
	m, clock := fakeManager(t, Options{PingInterval: time.Hour, IdleTimeout: 2 * time.Hour})
	tr := trickle{newFakeTransport(3)}
	c := m.newConn("a", Accept{}, nil, "fake")
	c.register(Accept{})
	c.attach(tr)
	require.NoError(t, c.Send(Binary(make([]byte, 100))))
	for range 15 {
		<-tr.entered
		clock.step(9 * time.Second)
		require.False(t, c.isClosing(), "9 s are below the time-out")
		tr.goOn <- struct{}{}
	}
	<-tr.entered
	clock.step(12 * time.Second)
	require.True(t, c.isClosing(), "12 s are not")
	require.ErrorIs(t, c.rare.cause, ErrWriteTimeout)
	c.unregister()
	c.release()
	idle(t, m)
}
