package wsmanager

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// stepClock is a clock that moves only when it is told to. Its timers run on the
// goroutine that steps it.
type stepClock struct {
	mu     sync.Mutex
	t      time.Time
	timers []*stepTimer
}

type stepTimer struct {
	at time.Time
	f  func()
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
	timer := &stepTimer{c.t.Add(d), f}
	c.timers = append(c.timers, timer)
	if len(c.timers) > 2 {
		panic("a wheel has one timer, and a watch has one")
	}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.remove(timer)
	}
}

// remove takes a timer out, if it is still there. It is called under mu.
func (c *stepClock) remove(timer *stepTimer) bool {
	i := slices.Index(c.timers, timer)
	if i >= 0 {
		c.timers = slices.Delete(c.timers, i, i+1)
	}
	return i >= 0
}

// next takes the timer out that is due first, if it is by then. It is called under mu.
func (c *stepClock) next(end time.Time) *stepTimer {
	if len(c.timers) == 0 {
		return nil
	}
	first := slices.MinFunc(c.timers, func(a, b *stepTimer) int { return a.at.Compare(b.at) })
	if first.at.After(end) {
		return nil
	}
	c.remove(first)
	return first
}

// step moves the clock on, and runs the timers that are due on the way.
func (c *stepClock) step(d time.Duration) {
	c.mu.Lock()
	end := c.t.Add(d)
	for timer := c.next(end); timer != nil; timer = c.next(end) {
		c.t = timer.at
		c.mu.Unlock()
		timer.f()
		c.mu.Lock()
	}
	c.t = end
	c.mu.Unlock()
}

func (c *stepClock) armed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.timers) > 0
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
	clock.t = clock.t.Add(5 * wheelSlots * w.tick)
	timer := clock.next(clock.t)
	clock.mu.Unlock()
	timer.f()
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
