//go:build linux

package evloop

import "syscall"

// finish ends the socket. Only the owner calls it. While Writable runs, the goroutine in
// Writable calls End afterwards, so that End is the last call.
func (s *Socket) finish(err error) {
	s.mu.Lock()
	state := s.state.Load()
	if state&shut != 0 && err != ErrStopped {
		err = s.shutCauseLocked(err)
	}
	if state&inWritable != 0 {
		s.handoffLocked().endCause = err
		s.setLocked(ending|endAfterWritable, 0)
		s.setModeLocked(detached)
		_ = s.armLocked() // the error is logged; without this, the level-triggered registration would wake the leader again and again
		s.mu.Unlock()
		return
	}
	s.setLocked(ending, 0)
	s.mu.Unlock()
	s.callEnd(err)
}

// shutCauseLocked returns the error for End after Shut.
func (s *Socket) shutCauseLocked(err error) error {
	if _, panicked := err.(*PanicError); panicked || err == ErrGoexit {
		return err
	}
	if s.handoff != nil && s.handoff.endCause != nil {
		return s.handoff.endCause
	}
	return ErrShut
}

// callEnd calls End, and closes the descriptor even if End panics.
func (s *Socket) callEnd(err error) {
	defer s.closeDescriptor()
	s.handler.End(err)
}

// closeDescriptor closes the descriptor. The table forgets it first, because the kernel may
// reuse the number at once. It is removed from epoll explicitly: close does not remove it
// while a duplicate exists, for example in a child process before exec.
func (s *Socket) closeDescriptor() {
	l := s.loop
	s.mu.Lock()
	s.setLocked(0, open)
	l.table.set(s.fd, nil)
	_ = syscall.EpollCtl(l.epfd, syscall.EPOLL_CTL_DEL, int(s.fd), nil) // cannot fail: the descriptor is registered
	err := syscall.Close(int(s.fd))
	s.mu.Unlock()
	if err != nil && err != syscall.EINTR && err != syscall.ECONNRESET {
		l.opts.Logf("evloop: closing a socket: %v", err)
	}
	l.removeSocket()
}
