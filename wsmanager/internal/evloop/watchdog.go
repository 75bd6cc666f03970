//go:build linux

package evloop

import (
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// watchdog deposes a leader that is stuck in an event. It is a timer's function,
// which sets the timer again, so that it never runs twice at once; it sleeps
// while nothing happens.
type watchdog struct {
	loop  *Loop
	timer *time.Timer

	parked atomic.Bool // the timer is not set: noticeWork sets it
	ended  atomic.Bool

	depositions, blocked atomic.Uint64

	// Owned by the tick.
	last    uint64 // Loop.w at the last tick
	since   int64  // when a tick first saw it
	idle    int    // ticks in a row at which the loop was idle, and the same
	closer  bool   // the last tick was followed by a short one
	alert   int64  // short ticks until then
	samples []metrics.Sample
}

const (
	idleTicks = 8                  // then the watchdog sleeps
	alertness = int64(time.Second) // short ticks after a leader has blocked
)

// init prepares it, asleep.
func (d *watchdog) init() {
	// New in Go 1.26. Where they are missing, time alone decides.
	d.samples = []metrics.Sample{
		{Name: "/sched/goroutines/running:goroutines"},
		{Name: "/sched/goroutines/runnable:goroutines"},
	}
	d.parked.Store(true)
	d.timer = time.AfterFunc(time.Hour, d.tick)
	d.timer.Stop()
}

func (d *watchdog) end() {
	d.ended.Store(true)
	d.timer.Stop() // a tick under way may set it once more; that one does nothing
}

// noticeWork wakes a watchdog that sleeps. The leader stores w and then looks at
// parked; the watchdog stores parked and then looks at w: one of them sees what
// the other did.
func (d *watchdog) noticeWork() {
	if d.parked.Load() && d.parked.CompareAndSwap(true, false) {
		d.timer.Reset(d.loop.opts.tick)
	}
}

func (d *watchdog) tick() {
	if d.ended.Load() {
		return
	}
	l := d.loop
	now := l.now()
	v := l.w.Load()
	next := l.opts.tick
	switch {
	case v != d.last:
		// While there is work, every other look comes soon after the one before,
		// to see whether it is still the same event.
		d.closer = v&1 == 1 && !d.closer
		if d.closer {
			next = l.opts.shortTick
		}
		d.idle = 0
		d.last, d.since = v, now
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
		if (blocked || l.opts.nervous || now-d.since >= int64(l.opts.hold)) && d.depose(v, blocked, now) {
			d.last, d.since = v+2, now
		}
	}
	l.mood.settle(now)
	if now < d.alert {
		next = min(next, l.opts.shortTick)
	}
	d.timer.Reset(next)
}

// leaderBlocked reports whether the leader has given up its processor, so that
// it can't be computing, nor have been put aside by the operating system: then
// no goroutine runs but this one. With one processor the leader might also have
// been put aside for this one, and be runnable.
func (d *watchdog) leaderBlocked() bool {
	metrics.Read(d.samples)
	running, runnable := d.samples[0].Value, d.samples[1].Value
	if running.Kind() != metrics.KindUint64 || running.Uint64() > 1 {
		return false
	}
	return runtime.GOMAXPROCS(0) > 1 || runnable.Kind() == metrics.KindUint64 && runnable.Uint64() == 0
}

// depose takes the loop from the leader that serves the event v, and gives it to
// a new one, which goes on at the next event. The socket of v is detached on the
// old leader's behalf; that is done before the new leader starts.
func (d *watchdog) depose(v uint64, blocked bool, now int64) bool {
	l := d.loop
	if !l.w.CompareAndSwap(v, v+2) {
		return false // it has just gone on
	}
	b := l.cur
	if ev := b.at(v); ev != nil {
		if s := l.table.of(ev); s != nil {
			s.detachFor(v, blocked, now)
		}
	}
	d.depositions.Add(1)
	if blocked {
		d.blocked.Add(1)
		if !l.opts.nervous {
			d.alert = now + alertness
			l.mood.blocked(now)
		}
	}
	go l.lead(newLeader(l, v+2, b))
	return true
}

// detachFor detaches an inline socket for the leader that was deposed from v.
func (s *Socket) detachFor(v uint64, blocked bool, now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.state.Load()
	if state&open == 0 || state&modeMask != inline || s.marks != nil && s.marks.skip == v {
		return
	}
	m := s.marksLocked()
	m.by, m.last, m.sure, m.since = v, v, blocked, now
	s.setModeLocked(detached)
	_ = s.armLocked() // logged
}
