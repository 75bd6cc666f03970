//go:build linux

package evloop

import (
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// Socket is the handle of a descriptor in a Loop. It is meant to be embedded by value and
// must not be copied after Add. The zero value is ready for one Add: a Socket can't be
// reused. Its methods may be called from any goroutine, also from within the Handler, and
// never wait for a handler.
type Socket struct {
	// Read-only after Add.
	loop    *Loop
	handler Handler
	fd      int32
	gen     uint32 // generation: distinguishes sockets that had the same descriptor

	state atomic.Uint32 // a set of the bits in state.go; written under mu

	// Owned by the owner of the socket.
	fastStreak     uint16 // fast events in a row
	requiredStreak uint16 // fast events in a row that are needed to be served by the leader

	// mu guards writes to the descriptor, its registration and its close, so that none of them
	// affects another socket
	mu      sync.Mutex
	handoff *handoff // nil until first needed, and for most sockets always
}

// attach registers the socket with the loop in the given mode.
func (s *Socket) attach(l *Loop, fd int, h Handler, mode uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loop != nil {
		return ErrAdded
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	gen := l.lastGen.Add(1)
	if gen == 0 { // wrapped; 0 belongs to the eventfd
		gen = l.lastGen.Add(1)
	}
	s.loop, s.handler, s.fd, s.gen = l, h, int32(fd), gen
	s.setLocked(open|mode, 0)
	l.table.set(s.fd, s)
	if err := epollCtl(l.epfd, syscall.EPOLL_CTL_ADD, fd, registration(open|mode), gen); err != nil {
		l.table.set(s.fd, nil)
		s.setLocked(0, open|mode)
		s.loop, s.handler = nil, nil
		return os.NewSyscallError("epoll_ctl", err)
	}
	return nil
}

// Write writes as much of p as the kernel accepts without waiting. It may return 0 and no
// error; use WantWritable to learn when there is room again. The error is ErrClosed after
// Shut or End, or a system error.
func (s *Socket) Write(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.mu.Lock()
	if s.state.Load()&(open|shut) != open {
		s.mu.Unlock()
		return 0, ErrClosed
	}
	n, errno := write(s.fd, p)
	s.mu.Unlock()
	return n, writeError("write", errno)
}

// maxBuffers is the maximum number of buffers in one writev call.
const maxBuffers = 64

// Writev is Write for several buffers, with one system call for each 64 of them. It does
// not modify bufs.
func (s *Socket) Writev(bufs [][]byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Load()&(open|shut) != open {
		return 0, ErrClosed
	}
	var iov [maxBuffers]syscall.Iovec
	for len(bufs) > 0 {
		used, size := 0, 0
		for len(bufs) > 0 && used < maxBuffers {
			if p := bufs[0]; len(p) > 0 {
				iov[used].Base = &p[0]
				iov[used].SetLen(len(p))
				used++
				size += len(p)
			}
			bufs = bufs[1:]
		}
		if used == 0 {
			break
		}
		written, errno := writev(s.fd, iov[:used])
		n += written
		if errno != 0 || written < size {
			return n, writeError("writev", errno)
		}
	}
	return n, nil
}

func writeError(call string, errno syscall.Errno) error {
	if errno == 0 || errno == syscall.EAGAIN {
		return nil
	}
	return os.NewSyscallError(call, errno)
}

// WantWritable requests one call of Handler.Writable as soon as the kernel accepts bytes,
// at once if it does so now. Until that call, further requests do nothing. The error is
// ErrClosed once End has been called.
func (s *Socket) WantWritable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.state.Load()
	if state&(open|ending) != open {
		return ErrClosed
	}
	if state&wantWritable != 0 {
		return nil
	}
	s.setLocked(wantWritable, 0)
	if state&inWritable != 0 {
		return nil // armed when Writable has returned
	}
	return s.armLocked()
}

// Kick requests a call of Handler.Kicked, although no byte has arrived. It does nothing for
// a socket that is ending.
func (s *Socket) Kick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.state.Load()
	if state&(open|ending|kickPending) != open {
		return
	}
	s.setLocked(kickPending, 0)
	if state&modeMask != detached { // else the owner checks before it hands the socket back
		s.postKickLocked()
	}
}

func (s *Socket) postKickLocked() {
	s.loop.posts.add(s.loop.wakefd, syscall.EpollEvent{Events: kickEvent, Fd: s.fd, Pad: int32(s.gen)})
}

// Shut ends the connection in both directions. No Data call begins after it, and End
// follows with ErrShut as soon as a running handler has returned. Further calls do nothing.
func (s *Socket) Shut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shutLocked()
}

func (s *Socket) shutLocked() {
	if s.state.Load()&(open|shut) == open {
		s.setLocked(shut, 0)
		// An error means that the connection has failed, which ends it as well.
		_ = syscall.Shutdown(int(s.fd), syscall.SHUT_RDWR)
	}
}

// CloseWrite ends the write side, after the bytes that were written. The error is ErrClosed
// after Shut or End, or a system error.
func (s *Socket) CloseWrite() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Load()&(open|shut) != open {
		return ErrClosed
	}
	return os.NewSyscallError("shutdown", syscall.Shutdown(int(s.fd), syscall.SHUT_WR))
}
