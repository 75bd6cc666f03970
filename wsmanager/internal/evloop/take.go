//go:build linux

package evloop

// Take makes the caller the owner of a socket whose owner does not come back: it is in
// Data, or has been since AddOwned. From then on that goroutine touches nothing of the
// socket, whether its call returns, panics or ends the goroutine; Data's result does
// not count. The caller goes on as after AddOwned, until Release: the bytes that the
// lost owner was given and has not handled are the caller's to handle.
//
// The call must be one that can't return before Take does, by an agreement between
// caller and handler. For an owner since AddOwned it is the user who sees to it that
// it neither calls Release nor ends the socket.
//
// With false nothing has changed: the socket is still its leader's, whom the watchdog
// has not deposed yet, or it is at its end.
func (s *Socket) Take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.state.Load()
	if state&(open|ending) != open || state&modeMask != detached {
		return false
	}
	m := s.marksLocked()
	m.taken++
	m.by = 0
	s.blame()
	return true
}

// takenSince reports whether Take was called since there were that many.
func (s *Socket) takenSince(taken uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.marks.taken != taken
}

// takenFrom reports whether Take was called while the leader, which is deposed, was in
// Data during the event me.
func (s *Socket) takenFrom(me uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.marks != nil && s.marks.takenFrom(me)
}

// takenFrom is Socket.takenFrom. Events grow: a socket that was detached during a later
// one had another owner in between. While its own event is the last, the leader owns
// the socket as long as by says so. If an earlier event is the last, or none, the
// watchdog has yet to come.
func (m *marks) takenFrom(me uint64) bool {
	return m.last > me || m.last == me && m.by != me
}

// logUntold logs a panic that no handler is left to be told of. A Goexit is none.
func (l *Loop) logUntold(err error) {
	if err != ErrGoexit {
		l.opts.Logf("%v", err)
	}
}
