//go:build linux

package evloop

import (
	"sync/atomic"
	"time"
)

// mood is what a loop has learned from leaders that blocked. Its thresholds were
// chosen, not tuned.
type mood struct {
	level atomic.Uint32 // calm, suspicious or retreated

	suspicions, retreats atomic.Uint64

	// Owned by the watchdog.
	times      [retreatAfter]int64 // of the last depositions of leaders that blocked, a ring
	count      uint64
	suspectTo  int64
	retreatTo  int64
	retreatFor int64 // length of the last retreat
}

const (
	calm       uint32 = iota
	suspicious        // unproven sockets go to goroutines
	retreated         // all do
)

const (
	suspectAfter = 3 // within suspectWithin
	retreatAfter = 40

	suspectWithin  = int64(100 * time.Millisecond)
	suspectFor     = int64(time.Second)
	retreatWithin  = int64(time.Second)
	shortRetreat   = int64(time.Second)
	longestRetreat = int64(time.Minute)
)

func (m *mood) calm() bool { return m.level.Load() == calm }

// avoids reports whether an inline socket had better go to a goroutine. Its
// caller owns the socket.
func (m *mood) avoids(s *Socket) bool {
	switch m.level.Load() {
	case calm:
		return false
	case suspicious:
		return s.ok < neverProven
	}
	return true
}

// avoidsAll reports whether no socket is served by the leader.
func (m *mood) avoidsAll() bool { return m.level.Load() == retreated }

// blocked notes a leader that has blocked.
func (m *mood) blocked(now int64) {
	m.times[m.count%retreatAfter] = now
	m.count++
	if m.within(suspectAfter, suspectWithin, now) {
		if m.suspectTo <= now {
			m.suspicions.Add(1)
		}
		m.suspectTo = now + suspectFor
	}
	if m.within(retreatAfter, retreatWithin, now) && m.retreatTo <= now {
		// A relapse soon after the last retreat makes the next one longer.
		if m.retreatFor > 0 && now-m.retreatTo < m.retreatFor {
			m.retreatFor = min(2*m.retreatFor, longestRetreat)
		} else {
			m.retreatFor = shortRetreat
		}
		m.retreatTo = now + m.retreatFor
		m.retreats.Add(1)
	}
	m.settle(now)
}

// within reports whether the last n of them came in that time.
func (m *mood) within(n uint64, d, now int64) bool {
	return m.count >= n && now-m.times[(m.count-n)%retreatAfter] <= d
}

// settle lets time pass.
func (m *mood) settle(now int64) {
	level := calm
	switch {
	case now < m.retreatTo:
		level = retreated
	case now < m.suspectTo:
		level = suspicious
	}
	if m.level.Load() != level {
		m.level.Store(level)
	}
}
