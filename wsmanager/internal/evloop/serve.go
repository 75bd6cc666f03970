//go:build linux

package evloop

import (
	"io"
	"os"
	"runtime/debug"
	"syscall"
)

// serve acts on one event.
func (ld *leader) serve(ev *syscall.EpollEvent) {
	l := ld.loop
	s := l.table.of(ev)
	ld.s = s
	if s == nil {
		if ev.Fd == int32(l.wakefd) && ev.Pad == 0 {
			drain(l.wakefd) // the posts themselves are taken with each poll
		}
		return
	}
	state, ok := ld.look(s)
	switch {
	case !ok:
		// The event may have been the one that its registration was good for.
		s.rearm()
	case state == open|inline && ev.Events&^readEvents == 0 && l.mood.calm():
		ld.read(s)
	default:
		ld.serveRarer(s, state, ev.Events)
	}
}

// look is s's state, if the leader still leads. If it does, a socket that is
// inline is the leader's, deposed or not, until the event is over: only the
// leader takes it out of that mode, or the watchdog, when it deposes the leader,
// and then on the leader's behalf. A leader that was deposed before it looked
// must not act on what it sees: the socket may be inline again for its
// successor. Without it, one who was put aside for some milliseconds right
// before reading the state could serve a socket beside its successor.
func (ld *leader) look(s *Socket) (state uint32, ok bool) {
	state = s.state.Load()
	return state, ld.loop.w.Load() == ld.me && state&(open|ending) == open
}

func (ld *leader) serveRarer(s *Socket, state, events uint32) {
	if events&(syscall.EPOLLOUT|errorEvents) != 0 && state&(want|flushing) != 0 {
		ld.flush(s)
		var ok bool
		if state, ok = ld.look(s); !ok {
			return // and flush has armed
		}
	} else if events&syscall.EPOLLOUT != 0 || state&modeMask == detached {
		s.rearm() // the event may have used up a registration that is still wanted
	}
	readable := events&(readEvents|errorEvents) != 0
	kick := events&kickEvent != 0 && state&kicked != 0
	if !readable && !kick {
		return
	}
	switch state & modeMask {
	case inline:
		if ld.loop.mood.avoids(s) {
			s.dispatch(inline)
			return
		}
		if kick && s.takeKick() {
			ld.phase = owning
			s.handler.Kicked()
			ld.phase = ours
		}
		if readable {
			ld.read(s)
		}
	case slow:
		s.dispatch(slow)
	case detached:
		// Its owner sees bytes and kicks before it hands the socket back.
	}
}

// read does one read for a socket that the leader owns. What a full buffer
// leaves comes with the next poll, after the others' turn.
func (ld *leader) read(s *Socket) {
	if ld.buf == nil {
		ld.buf = buffers.Get().(*[bufferSize]byte)
	}
	ld.phase = owning
	err := s.readOnce(ld.buf[:])
	switch {
	case ld.loop.w.Load() != ld.me && s.takenFrom(ld.me):
	case err != nil:
		ld.finish(err)
	default:
		s.praise()
	}
	ld.phase = ours
}

func (ld *leader) finish(err error) {
	ld.phase = finished
	ld.s.finish(err)
}

// flush calls Writable. Anyone may own the socket meanwhile.
func (ld *leader) flush(s *Socket) {
	s.mu.Lock()
	state := s.state.Load()
	if state&(open|ending|want|flushing) != open|want {
		// Ended; or another leader, deposed since, is in Writable still, and arms
		// for what is wanted when that has returned.
		if state&(open|ending) == open {
			_ = s.armLocked() // logged
		}
		s.mu.Unlock()
		return
	}
	s.setLocked(flushing, want)
	s.mu.Unlock()
	ld.phase = lending
	s.lend()
	ld.phase = ours
}

// lend calls Writable. A Goexit in it goes on, after this has done its part.
func (s *Socket) lend() {
	returned := false
	defer func() {
		var err error
		if !returned {
			err = failure(recover())
		}
		s.flushed(err)
	}()
	s.handler.Writable()
	returned = true
}

// flushed follows Writable.
func (s *Socket) flushed(failed error) {
	s.mu.Lock()
	s.setLocked(0, flushing)
	state := s.state.Load()
	if failed != nil && state&ending == 0 {
		s.marksLocked().cause = failed
		s.shutLocked()
	}
	switch {
	case state&endOnFlushed != 0:
		cause := s.marks.cause
		s.mu.Unlock()
		s.end(cause)
		return
	case state&ending == 0:
		_ = s.armLocked() // logged
	}
	s.mu.Unlock()
}

// rearm registers the socket again if it is open.
func (s *Socket) rearm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state := s.state.Load(); state&(open|ending) == open && (state&modeMask != detached || state&want != 0) {
		_ = s.armLocked() // logged
	}
}

// readOnce reads and calls Data. An error says that the socket is at its end.
func (s *Socket) readOnce(buf []byte) error {
	n, errno := read(s.fd, buf)
	switch {
	case s.state.Load()&shut != 0:
		return ErrShut // a peer that goes on sending must not keep it open
	case errno == syscall.EAGAIN:
		return nil
	case errno != 0:
		return os.NewSyscallError("read", errno)
	case n == 0:
		return io.EOF
	case !s.handler.Data(buf[:n]):
		return ErrStopped
	}
	return nil
}

// failure is the error for what recover has returned in a goroutine that did
// not come to its end.
func failure(recovered any) error {
	if recovered == nil {
		return ErrGoexit
	}
	return &PanicError{Value: recovered, Stack: debug.Stack()}
}
