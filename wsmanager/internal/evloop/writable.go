//go:build linux

package evloop

// flush calls Writable. The socket may have any owner meanwhile.
func (ld *leader) flush(s *Socket) {
	s.mu.Lock()
	state := s.state.Load()
	if state&(open|ending|wantWritable|inWritable) != open|wantWritable {
		// The socket has ended, or a leader that has been deposed since is still in
		// Writable. That one arms the socket when Writable has returned.
		if state&(open|ending) == open {
			_ = s.armLocked() // the error is logged
		}
		s.mu.Unlock()
		return
	}
	s.setLocked(inWritable, wantWritable)
	s.mu.Unlock()
	ld.phase = phaseWritable
	s.callWritable()
	ld.phase = phaseLoop
}

// callWritable calls Writable. A Goexit in it continues after afterWritable.
func (s *Socket) callWritable() {
	returned := false
	defer func() {
		var err error
		if !returned {
			err = recoveredError(recover())
		}
		s.afterWritable(err)
	}()
	s.handler.Writable()
	returned = true
}

// afterWritable runs when Writable has returned or failed.
func (s *Socket) afterWritable(failed error) {
	s.mu.Lock()
	s.setLocked(0, inWritable)
	state := s.state.Load()
	if failed != nil && state&ending == 0 {
		s.handoffLocked().endCause = failed
		s.shutLocked()
	}
	switch {
	case state&endAfterWritable != 0:
		cause := s.handoff.endCause
		s.mu.Unlock()
		s.callEnd(cause)
		return
	case state&ending == 0:
		_ = s.armLocked() // the error is logged
	}
	s.mu.Unlock()
}
