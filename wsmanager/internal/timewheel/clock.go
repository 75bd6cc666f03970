package timewheel

import (
	"sync/atomic"
	"time"
)

// Clock is the source of time of a Wheel. Package stepclock has one for tests.
type Clock interface {
	Now() time.Time

	// AfterFunc calls f on a goroutine of its own after d, unless it is stopped before.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// SystemClock is the Clock of package time.
type SystemClock struct{}

// Now implements Clock.
func (SystemClock) Now() time.Time { return time.Now() }

// AfterFunc implements Clock.
func (SystemClock) AfterFunc(d time.Duration, f func()) func() bool {
	return time.AfterFunc(d, f).Stop
}

// Ticker converts between times and ticks. It is the part of a Wheel that does not depend
// on its elements, so that calls of its methods are inlined. Init of the Wheel sets it up.
type Ticker struct {
	clock   Clock
	tick    time.Duration
	zero    time.Time    // of tick 0
	current atomic.Int64 // the tick of the last reading of the clock
}

// Clock returns the wheel's clock.
func (t *Ticker) Clock() Clock { return t.clock }

// Tick returns the duration of a tick.
func (t *Ticker) Tick() time.Duration { return t.tick }

// Elapsed returns the time since Init.
func (t *Ticker) Elapsed() time.Duration { return t.clock.Now().Sub(t.zero) }

// Now reads the clock and returns the current tick.
func (t *Ticker) Now() int64 {
	now := t.TickOf(t.Elapsed())
	t.current.Store(now)
	return now
}

// Coarse returns the tick of the last reading of the clock. It is accurate to one tick
// while the wheel has elements.
func (t *Ticker) Coarse() int64 { return t.current.Load() }

// Ticks returns d in ticks, rounded up.
func (t *Ticker) Ticks(d time.Duration) int64 { return int64((d-1)/t.tick) + 1 }

// TickOf returns the tick that belongs to a result of Elapsed.
func (t *Ticker) TickOf(elapsed time.Duration) int64 { return int64(elapsed / t.tick) }

// After reads the clock and returns the tick at which d will have passed.
func (t *Ticker) After(d time.Duration) int64 { return t.Now() + t.Ticks(d) + 1 }

// Tick32 has the low 32 bits of a tick of the wheel. The tick must be less than 1<<31 ticks
// away from the one with which it is compared, which is four months with the shortest tick
// of 5 ms, and 68 years with the usual one of a second.
type Tick32 uint32

// Near returns the tick whose low bits t has.
func (t Tick32) Near(now int64) int64 { return now + int64(int32(uint32(t)-uint32(now))) }
