//go:build linux

package evloop

import (
	"io"
	"os"
	"syscall"
)

// serve handles one event.
func (ld *leader) serve(ev *syscall.EpollEvent) {
	l := ld.loop
	s := l.table.of(ev)
	ld.socket, ld.settles = s, false
	if s == nil {
		if ev.Fd == int32(l.wakefd) && ev.Pad == 0 {
			drain(l.wakefd) // each poll takes the posts themselves
		}
		return
	}
	state, ok := ld.stateIfLeading(s)
	switch {
	case !ok:
		// The event may have used up a one-shot registration.
		s.rearm()
	case state == open|inline && ev.Events&^readEvents == 0 && l.breaker.isClosed():
		ld.read(s)
	default:
		ld.serveSlowPath(s, state, ev.Events)
	}
}

// stateIfLeading returns the state of s, and whether the leader still leads and s is open.
// If both hold, an inline socket belongs to the leader until the event is over, deposed or
// not: only the leader changes that mode, or the watchdog on the leader's behalf when it
// deposes the leader. If the leader was deposed before this call, it must not act on the
// state, because the socket may be inline again for the successor. Without the check, a
// leader that the operating system preempts for some milliseconds before it reads the state
// could serve a socket at the same time as its successor.
func (ld *leader) stateIfLeading(s *Socket) (state uint32, ok bool) {
	state = s.state.Load()
	return state, ld.loop.w.Load() == ld.w && state&(open|ending) == open
}

func (ld *leader) serveSlowPath(s *Socket, state, events uint32) {
	if events&(syscall.EPOLLOUT|errorEvents) != 0 && state&(wantWritable|inWritable) != 0 {
		ld.flush(s)
		var ok bool
		if state, ok = ld.stateIfLeading(s); !ok {
			return // flush has armed the socket
		}
	} else if events&syscall.EPOLLOUT != 0 || state&modeMask == detached {
		s.rearm() // the event may have used up a registration that is still needed
	}
	readable := events&(readEvents|errorEvents) != 0
	kick := events&kickEvent != 0 && state&kickPending != 0
	if !readable && !kick {
		return
	}
	switch state & modeMask {
	case inline:
		if ld.loop.breaker.offloads(s) {
			s.dispatch(inline)
			return
		}
		if kick && s.consumeKick() {
			ld.phase = phaseHandler
			s.handler.Kicked()
			ld.phase = phaseLoop
		}
		if readable {
			ld.read(s)
		}
	case slow:
		s.dispatch(slow)
	case detached:
		// The owner handles bytes and kicks before it hands the socket back.
	}
}

// read does one read for a socket that the leader owns. If the buffer is filled, the rest
// follows with the next poll, after the other sockets.
func (ld *leader) read(s *Socket) {
	if ld.buf == nil {
		ld.buf = buffers.Get().(*[bufferSize]byte)
	}
	ld.phase = phaseHandler
	err := s.readOnce(ld.buf[:])
	switch {
	case ld.loop.w.Load() != ld.w && s.takenFrom(ld.w):
	case err != nil:
		ld.finish(err)
	default:
		s.recordFast()
	}
	ld.phase = phaseLoop
	ld.settles = true
}

func (ld *leader) finish(err error) {
	ld.phase = phaseEnd
	ld.socket.finish(err)
}

// rearm renews the registration of an open socket.
func (s *Socket) rearm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state := s.state.Load(); state&(open|ending) == open && (state&modeMask != detached || state&wantWritable != 0) {
		_ = s.armLocked() // the error is logged
	}
}

// readOnce reads and calls Data. An error means that the socket has to be ended.
func (s *Socket) readOnce(buf []byte) error {
	if p := s.handler.Space(); p != nil {
		buf = p
	}
	n, errno := read(s.fd, buf)
	switch {
	case s.state.Load()&shut != 0:
		return ErrShut // a peer that keeps sending must not keep the socket open
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
