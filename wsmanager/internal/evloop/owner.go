//go:build linux

package evloop

import (
	"syscall"
	"time"
)

// What an owner of a socket does that is not, or no longer, the leader.

// quick is how long a goroutine may take for an event without blame.
const quick = 500 * time.Microsecond

// dispatch gives the socket, which must be in that mode, to a goroutine. A
// deposed leader may come here as well: the lock decides.
func (s *Socket) dispatch(mode uint32) {
	s.mu.Lock()
	state := s.state.Load()
	// An inline socket of ours may have been detached by the watchdog a moment
	// ago, on our behalf.
	ours := state&modeMask == mode || mode == inline && state&modeMask == detached
	if !ours || state&(open|ending) != open {
		s.mu.Unlock()
		return
	}
	s.setModeLocked(detached)
	m := s.marksLocked()
	m.by = 0 // else the deposed leader would take it for its own
	if mode == inline || state&want != 0 {
		_ = s.armLocked() // logged
	} // else the event has disarmed it
	s.mu.Unlock()
	s.loop.goroutines.Add(1)
	go m.work()
}

// work is a goroutine that serves one event of a socket that it owns.
func (s *Socket) work() {
	phase := owning
	taken := s.marks.taken // dispatch wrote marks before it started this goroutine
	defer func() {
		s.loop.goroutines.Add(-1)
		switch phase {
		case owning: // and not ours: a handler panicked or ended the goroutine
			if err := failure(recover()); s.takenSince(taken) {
				s.loop.logUntold(err)
			} else {
				s.finishApart(err)
			}
		case finished:
			s.loop.opts.Logf("%v", failure(recover()))
		}
	}()
	start := s.loop.now()
	buf := buffers.Get().(*[bufferSize]byte)
	err := s.readOnce(buf[:])
	buffers.Put(buf)
	if s.takenSince(taken) {
		phase = ours
		return
	}
	if err != nil {
		phase = finished
		s.finish(err)
		phase = ours
		return
	}
	s.runKicks()
	if s.loop.now()-start < int64(quick) {
		s.praise()
	} else {
		s.ok, s.need = 0, max(s.need, firstNeed)
	}
	mode := slow
	if s.ok >= s.need && !s.loop.mood.avoidsAll() {
		mode = inline
	}
	s.handBack(mode)
	phase = ours
}

// finishApart ends the socket on a goroutine of its own.
func (s *Socket) finishApart(err error) {
	l := s.loop
	l.goroutines.Add(1)
	go func() {
		ended := false
		defer func() {
			l.goroutines.Add(-1)
			if !ended {
				l.opts.Logf("%v", failure(recover()))
			}
		}()
		s.finish(err)
		ended = true
	}()
}

// handBack ends the ownership of a detached socket.
func (s *Socket) handBack(mode uint32) {
	for {
		s.mu.Lock()
		if s.state.Load()&kicked == 0 {
			break
		}
		s.mu.Unlock()
		s.runKicks()
	}
	if s.marks != nil {
		s.marks.by = 0 // until here a deposed leader owns it, and ends it if Kicked fails
	}
	s.setModeLocked(mode)
	_ = s.armLocked() // logged
	s.mu.Unlock()
}

func (s *Socket) runKicks() {
	if s.takeKick() {
		s.handler.Kicked()
	}
}

func (s *Socket) takeKick() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.state.Load()&kicked != 0
	s.setLocked(0, kicked)
	return taken
}

// afterDeposed is what a leader does that finds itself deposed, when its event
// is over: if the watchdog has detached the socket for it, it marks it if its
// handler was to blame, and hands it back.
func (ld *leader) afterDeposed() {
	s := ld.s
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
	m := s.marksLocked()
	if m.takenFrom(ld.me) {
		s.mu.Unlock()
		return
	}
	if state&modeMask != detached || m.by != ld.me {
		// Either the watchdog has yet to come: it must not detach what nobody
		// would hand back. Or somebody else owns the socket.
		m.skip = ld.me
		s.mu.Unlock()
		return
	}
	mode := inline
	if !s.loop.opts.nervous && (m.sure || s.loop.now()-m.since > short) {
		s.blame()
		mode = slow
	}
	s.mu.Unlock()
	ld.phase = owning
	s.handBack(mode)
	ld.phase = ours
}

// finish ends the socket; only its owner calls it. While Writable runs it is
// left to that goroutine, so that End is the last call.
func (s *Socket) finish(err error) {
	s.mu.Lock()
	state := s.state.Load()
	if state&shut != 0 && err != ErrStopped {
		err = s.whyShutLocked(err)
	}
	if state&flushing != 0 {
		s.marksLocked().cause = err
		s.setLocked(ending|endOnFlushed, 0)
		s.setModeLocked(detached)
		_ = s.armLocked() // logged; or its level would wake the leader for ever
		s.mu.Unlock()
		return
	}
	s.setLocked(ending, 0)
	s.mu.Unlock()
	s.end(err)
}

// whyShutLocked is End's error after Shut.
func (s *Socket) whyShutLocked(err error) error {
	if _, panicked := err.(*PanicError); panicked || err == ErrGoexit {
		return err
	}
	if s.marks != nil && s.marks.cause != nil {
		return s.marks.cause
	}
	return ErrShut
}

// end calls End, and closes the descriptor even if that panics.
func (s *Socket) end(err error) {
	defer s.gone()
	s.handler.End(err)
}

// gone closes the descriptor. The table forgets it first, as the number may be
// another's at once. It is taken out of epoll although closing would do that:
// not where a duplicate of it exists, in a process about to exec, say.
func (s *Socket) gone() {
	l := s.loop
	s.mu.Lock()
	s.setLocked(0, open)
	l.table.set(s.fd, nil)
	_ = syscall.EpollCtl(l.epfd, syscall.EPOLL_CTL_DEL, int(s.fd), nil) // it is in there
	err := syscall.Close(int(s.fd))
	s.mu.Unlock()
	if err != nil && err != syscall.EINTR && err != syscall.ECONNRESET {
		l.opts.Logf("evloop: closing a socket: %v", err)
	}
	l.leave()
}
