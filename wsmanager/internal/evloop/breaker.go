//go:build linux

package evloop

import (
	"sync/atomic"
	"time"
)

// breaker is a circuit breaker for handler calls on the leader. It opens when handlers
// block too many leaders, and closes after a time. The thresholds are estimates, not
// measured.
type breaker struct {
	state atomic.Uint32 // breakerClosed, breakerHalfOpen or breakerOpen

	halfOpenings, openings atomic.Uint64

	// Owned by the watchdog.
	blockedAt     [openThreshold]int64 // ring of the times at which a blocked leader was deposed
	blocks        uint64
	halfOpenUntil int64
	openUntil     int64
	openFor       int64 // length of the last open period
}

const (
	breakerClosed   uint32 = iota
	breakerHalfOpen        // sockets with fewer than minInlineStreak fast events in a row go to goroutines
	breakerOpen            // all sockets go to goroutines
)

const (
	halfOpenThreshold = 3 // within halfOpenWindow
	openThreshold     = 40

	halfOpenWindow   = int64(100 * time.Millisecond)
	halfOpenDuration = int64(time.Second)
	openWindow       = int64(time.Second)
	minOpenDuration  = int64(time.Second)
	maxOpenDuration  = int64(time.Minute)
)

func (b *breaker) isClosed() bool { return b.state.Load() == breakerClosed }

// offloads reports whether an inline socket (see the modes in doc.go) must be served by a
// goroutine. The caller owns the socket.
func (b *breaker) offloads(s *Socket) bool {
	switch b.state.Load() {
	case breakerClosed:
		return false
	case breakerHalfOpen:
		return s.fastStreak < minInlineStreak
	}
	return true
}

// offloadsAll reports whether every socket must be served by a goroutine.
func (b *breaker) offloadsAll() bool { return b.state.Load() == breakerOpen }

// recordBlock records that the leader blocked at now.
func (b *breaker) recordBlock(now int64) {
	b.blockedAt[b.blocks%openThreshold] = now
	b.blocks++
	if b.within(halfOpenThreshold, halfOpenWindow, now) {
		if b.halfOpenUntil <= now {
			b.halfOpenings.Add(1)
		}
		b.halfOpenUntil = now + halfOpenDuration
	}
	if b.within(openThreshold, openWindow, now) && b.openUntil <= now {
		// Opening again soon after the last open period doubles the period.
		if b.openFor > 0 && now-b.openUntil < b.openFor {
			b.openFor = min(2*b.openFor, maxOpenDuration)
		} else {
			b.openFor = minOpenDuration
		}
		b.openUntil = now + b.openFor
		b.openings.Add(1)
	}
	b.update(now)
}

// within reports whether the last n recorded blocks happened within the duration d before
// now.
func (b *breaker) within(n uint64, d, now int64) bool {
	return b.blocks >= n && now-b.blockedAt[(b.blocks-n)%openThreshold] <= d
}

// update sets the state for the time now.
func (b *breaker) update(now int64) {
	state := breakerClosed
	switch {
	case now < b.openUntil:
		state = breakerOpen
	case now < b.halfOpenUntil:
		state = breakerHalfOpen
	}
	if b.state.Load() != state {
		b.state.Store(state)
	}
}
