// Package stepclock is a clock for tests that moves only when it is told to. It implements
// timewheel.Clock. The library does not import it.
package stepclock

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Clock stands still between calls of Step and Jump. Its timers run on the goroutine that
// makes these calls. All methods are safe for concurrent use.
type Clock struct {
	maxTimers int

	mu     sync.Mutex // guards the fields below
	now    time.Time
	timers []*timer
}

type timer struct {
	at time.Time
	f  func()
}

// New makes a Clock that shows a time. It panics if more timers than maxTimers are set at
// the same time.
func New(start time.Time, maxTimers int) *Clock {
	return &Clock{now: start, maxTimers: maxTimers}
}

// Now implements timewheel.Clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// AfterFunc implements timewheel.Clock.
func (c *Clock) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &timer{c.now.Add(d), f}
	c.timers = append(c.timers, t)
	if len(c.timers) > c.maxTimers {
		panic(fmt.Sprintf("stepclock: more than %d timers", c.maxTimers))
	}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.removeLocked(t)
	}
}

// Armed reports whether a timer is set.
func (c *Clock) Armed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.timers) > 0
}

// Step moves the clock by d. Timers that are due on the way run at their time.
func (c *Clock) Step(d time.Duration) {
	c.mu.Lock()
	end := c.now.Add(d)
	for t := c.nextLocked(end); t != nil; t = c.nextLocked(end) {
		c.now = t.at
		c.mu.Unlock()
		t.f()
		c.mu.Lock()
	}
	c.now = end
	c.mu.Unlock()
}

// Jump moves the clock by d, and runs the first timer that is due then: it runs late.
func (c *Clock) Jump(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	t := c.nextLocked(c.now)
	c.mu.Unlock()
	if t != nil {
		t.f()
	}
}

// nextLocked removes the first timer, if it is due by then.
func (c *Clock) nextLocked(end time.Time) *timer {
	if len(c.timers) == 0 {
		return nil
	}
	first := slices.MinFunc(c.timers, func(a, b *timer) int { return a.at.Compare(b.at) })
	if first.at.After(end) {
		return nil
	}
	c.removeLocked(first)
	return first
}

// removeLocked removes a timer, and reports whether it was set.
func (c *Clock) removeLocked(t *timer) bool {
	i := slices.Index(c.timers, t)
	if i >= 0 {
		c.timers = slices.Delete(c.timers, i, i+1)
	}
	return i >= 0
}
