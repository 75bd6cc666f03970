//go:build linux

package evloop

import "time"

// handoff is the part of a Socket that is needed only once the socket has been served by
// anyone but the current leader. Guarded by Socket.mu.
type handoff struct {
	// event is the event (a value of Loop.w) during which the watchdog detached the socket,
	// as long as that event's leader owns it.
	event uint64
	// lastEvent is the last event during which the watchdog detached the socket. It is
	// never cleared.
	lastEvent uint64
	// ignoreEvent is the event during which the watchdog must not detach the socket: the
	// deposed leader was done first.
	ignoreEvent uint64

	blocked   bool   // the leader was blocked during event
	at        int64  // time of the detachment during event, as Loop.now
	takeovers uint32 // number of calls of Take that succeeded
	endCause  error  // error for End: a panic in Writable, or the error kept for endAfterWritable

	serve func() // Socket.serveApart as a func value, made once, so that starting it does not allocate
}

func (s *Socket) handoffLocked() *handoff {
	if s.handoff == nil {
		s.handoff = &handoff{serve: s.serveApart}
	}
	return s.handoff
}

// takenSince reports whether Take has been called since there were that many takeovers.
func (s *Socket) takenSince(takeovers uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handoff.takeovers != takeovers
}

// takenFrom reports whether Take was called while the leader, which is deposed, was in Data
// during the event w.
func (s *Socket) takenFrom(w uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handoff != nil && s.handoff.takenFrom(w)
}

// takenFrom is Socket.takenFrom. Events increase: if the socket was detached during a later
// event, it had another owner in between. If w is the last event, the leader owns the
// socket as long as event says so. If an earlier event is the last, or none is, the
// watchdog has not detached the socket yet.
func (h *handoff) takenFrom(w uint64) bool {
	return h.lastEvent > w || h.lastEvent == w && h.event != w
}

// afterDeposed runs on a deposed leader when its event is over. If the watchdog has
// detached the socket on the leader's behalf, it records a slow event if the handler caused
// the deposition, and hands the socket back.
func (ld *leader) afterDeposed() {
	s := ld.socket
	if s == nil {
		return
	}
	const short = int64(time.Millisecond)
	s.mu.Lock()
	state := s.state.Load()
	if state&(open|ending) != open {
		s.mu.Unlock()
		return
	}
	h := s.handoffLocked()
	if h.takenFrom(ld.w) {
		s.mu.Unlock()
		return
	}
	if state&modeMask != detached || h.event != ld.w {
		// Either the watchdog has not detached the socket yet; then it must not, because no
		// owner would hand the socket back. Or the socket has another owner.
		h.ignoreEvent = ld.w
		s.mu.Unlock()
		return
	}
	mode := inline
	if !s.loop.opts.deposeAlways && (h.blocked || s.loop.now()-h.at > short) {
		s.recordSlow()
		mode = slow
	}
	s.mu.Unlock()
	ld.phase = phaseHandler
	s.handBack(mode)
	ld.phase = phaseLoop
}

// detachFor detaches an inline socket on behalf of the leader that was deposed during the
// event v.
func (s *Socket) detachFor(v uint64, blocked bool, now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.state.Load()
	if state&open == 0 || state&modeMask != inline || s.handoff != nil && s.handoff.ignoreEvent == v {
		return
	}
	h := s.handoffLocked()
	h.event, h.lastEvent, h.blocked, h.at = v, v, blocked, now
	s.setModeLocked(detached)
	_ = s.armLocked() // the error is logged
}
