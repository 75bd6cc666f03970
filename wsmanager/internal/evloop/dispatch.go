//go:build linux

package evloop

import (
	"time"
)

// dispatch gives the socket, which must be in the given mode, to a goroutine. A deposed
// leader may call it too: the lock decides.
func (s *Socket) dispatch(mode uint32) {
	s.mu.Lock()
	state := s.state.Load()
	// An inline socket of this leader may just have been detached by the watchdog, on the
	// leader's behalf.
	owned := state&modeMask == mode || mode == inline && state&modeMask == detached
	if !owned || state&(open|ending) != open {
		s.mu.Unlock()
		return
	}
	s.setModeLocked(detached)
	h := s.handoffLocked()
	h.event = 0 // otherwise the deposed leader would consider the socket its own
	if mode == inline || state&wantWritable != 0 {
		_ = s.armLocked() // the error is logged
	} // else the one-shot event has disarmed it
	s.mu.Unlock()
	s.loop.goroutines.Add(1)
	go h.serve()
}

// serveApart runs on a goroutine of its own and serves one event of a socket that it owns.
func (s *Socket) serveApart() {
	phase := phaseHandler
	takeovers := s.handoff.takeovers // dispatch wrote handoff before it started this goroutine
	defer func() {
		s.loop.goroutines.Add(-1)
		switch phase {
		case phaseHandler: // a handler panicked or ended the goroutine
			if err := recoveredError(recover()); s.takenSince(takeovers) {
				s.loop.logUnhandled(err)
			} else {
				s.finishAsync(err)
			}
		case phaseEnd:
			s.loop.opts.Logf("%v", recoveredError(recover()))
		case phaseFollowUp:
			s.loop.logUnhandled(recoveredError(recover()))
		}
	}()
	start := s.loop.now()
	buf := buffers.Get().(*[bufferSize]byte)
	err := s.readOnce(buf[:])
	buffers.Put(buf)
	if f := s.loop.opts.FollowUp; f != nil {
		defer func() {
			if phase == phaseLoop { // Data and handBack have returned
				phase = phaseFollowUp
				f(s.handler)
				phase = phaseLoop
			}
		}()
	}
	if s.takenSince(takeovers) {
		phase = phaseLoop
		return
	}
	if err != nil {
		phase = phaseEnd
		s.finish(err)
		phase = phaseLoop
		return
	}
	s.runKicks()
	if s.loop.now()-start < int64(fastEvent) {
		s.recordFast()
	} else {
		s.fastStreak, s.requiredStreak = 0, max(s.requiredStreak, initialRequired)
	}
	mode := slow
	if s.fastStreak >= s.requiredStreak && !s.loop.breaker.offloadsAll() {
		mode = inline
	}
	s.handBack(mode)
	phase = phaseLoop
}

// fastEvent is the longest time that an event may take on a goroutine and still count as
// fast.
const fastEvent = 500 * time.Microsecond

// handBack ends the ownership of a detached socket and registers it in the given mode.
func (s *Socket) handBack(mode uint32) {
	for {
		s.mu.Lock()
		if s.state.Load()&kickPending == 0 {
			break
		}
		s.mu.Unlock()
		s.runKicks()
	}
	if s.handoff != nil {
		s.handoff.event = 0 // until here a deposed leader owns the socket, and ends it if Kicked fails
	}
	s.setModeLocked(mode)
	_ = s.armLocked() // the error is logged
	s.mu.Unlock()
}

func (s *Socket) runKicks() {
	if s.consumeKick() {
		s.handler.Kicked()
	}
}

func (s *Socket) consumeKick() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	pending := s.state.Load()&kickPending != 0
	s.setLocked(0, kickPending)
	return pending
}

// finishAsync ends the socket on another goroutine.
func (s *Socket) finishAsync(err error) {
	l := s.loop
	l.goroutines.Add(1)
	go func() {
		ended := false
		defer func() {
			l.goroutines.Add(-1)
			if !ended {
				l.opts.Logf("%v", recoveredError(recover()))
			}
		}()
		s.finish(err)
		ended = true
	}()
}
