//go:build linux

package evloop

import (
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// watchdog deposes a leader that is stuck in an event. It is a timer function that sets its
// timer again, so it never runs twice at once. It sleeps while the loop is idle.
type watchdog struct {
	loop  *Loop
	timer *time.Timer

	parked  atomic.Bool // the timer is not set: wake sets it
	stopped atomic.Bool

	depositions, blocked atomic.Uint64

	// Owned by the timer function.
	lastW      uint64 // Loop.w at the last tick
	lastWAt    int64  // time of the tick that first saw lastW
	idle       int    // ticks in a row with the loop idle and w unchanged
	shortNext  bool   // the last tick was followed by a short one
	alertUntil int64  // ticks are short until then
	samples    []metrics.Sample
}

const (
	idleTicks     = 8                  // the watchdog sleeps after so many
	alertDuration = int64(time.Second) // duration of short ticks after a leader has blocked
)

// init prepares the watchdog, asleep.
func (d *watchdog) init() {
	// These metrics are new in Go 1.26. Without them only the time decides.
	d.samples = []metrics.Sample{
		{Name: "/sched/goroutines/running:goroutines"},
		{Name: "/sched/goroutines/runnable:goroutines"},
	}
	d.parked.Store(true)
	d.timer = time.AfterFunc(time.Hour, d.tick)
	d.timer.Stop()
}

func (d *watchdog) stop() {
	d.stopped.Store(true)
	d.timer.Stop() // a running tick may set it once more; that one does nothing
}

// wake wakes a watchdog that sleeps. The leader stores w and then reads parked; the
// watchdog stores parked and then reads w. So at least one of them sees the other's store.
func (d *watchdog) wake() {
	if d.parked.Load() && d.parked.CompareAndSwap(true, false) {
		d.timer.Reset(d.loop.opts.tick)
	}
}

func (d *watchdog) tick() {
	if d.stopped.Load() {
		return
	}
	l := d.loop
	now := l.now()
	v := l.w.Load()
	next := l.opts.tick
	switch {
	case v != d.lastW:
		// While there is work, every other tick follows soon after the one before, to see
		// whether w has changed.
		d.shortNext = v&1 == 1 && !d.shortNext
		if d.shortNext {
			next = l.opts.shortTick
		}
		d.idle = 0
		d.lastW, d.lastWAt = v, now
	case v&1 == 0:
		if d.idle++; d.idle >= idleTicks {
			d.idle = 0
			d.parked.Store(true)
			if l.w.Load() == v || !d.parked.CompareAndSwap(true, false) {
				return
			}
		}
	default:
		next = l.opts.shortTick
		blocked := d.leaderBlocked()
		if (blocked || l.opts.deposeAlways || now-d.lastWAt >= int64(l.opts.maxEventTime)) && d.depose(v, blocked, now) {
			d.lastW, d.lastWAt = v+2, now
		}
	}
	l.breaker.update(now)
	if now < d.alertUntil {
		next = min(next, l.opts.shortTick)
	}
	d.timer.Reset(next)
}

// leaderBlocked reports whether the leader has given up its processor: only the watchdog's
// own goroutine runs. Then the leader neither computes nor was preempted by the operating
// system. With one processor the leader might have been preempted for this goroutine, and
// be runnable.
func (d *watchdog) leaderBlocked() bool {
	metrics.Read(d.samples)
	running, runnable := d.samples[0].Value, d.samples[1].Value
	if running.Kind() != metrics.KindUint64 || running.Uint64() > 1 {
		return false
	}
	return runtime.GOMAXPROCS(0) > 1 || runnable.Kind() == metrics.KindUint64 && runnable.Uint64() == 0
}

// depose takes the loop from the leader that serves the event v and gives it to a new one,
// which continues at the next event. The socket of v is detached on the old leader's behalf
// before the new leader starts, unless the old leader is in FollowUp.
func (d *watchdog) depose(v uint64, blocked bool, now int64) bool {
	l := d.loop
	if !l.w.CompareAndSwap(v, v+2) {
		return false // the leader has just advanced
	}
	b := l.batch
	if ev := b.at(v); ev != nil && l.settled.Load() != v {
		if s := l.table.of(ev); s != nil {
			s.detachFor(v, blocked, now)
		}
	}
	d.depositions.Add(1)
	if blocked {
		d.blocked.Add(1)
		if !l.opts.deposeAlways {
			d.alertUntil = now + alertDuration
			l.breaker.recordBlock(now)
		}
	}
	go l.lead(newLeader(l, v+2, b))
	return true
}
