//go:build linux

package evloop

import (
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// Socket is the handle of a descriptor in a Loop. It is meant to be embedded by
// value, so that a connection is one object; it must not be copied after Add.
// Its zero value is ready for Add, once: it can't be used for a second socket.
// Its methods may be called by any goroutine, also from within the Handler, and
// never wait for a handler.
type Socket struct {
	// Static from Add on.
	loop    *Loop
	handler Handler
	fd      int32
	gen     uint32 // tells it from others with the same descriptor

	state atomic.Uint32 // see open; written under mu

	// Owned by the owner of the socket.
	ok   uint16 // events in a row that were served soon
	need uint16 // how many it takes to be served by the leader

	// mu guards writes to the descriptor, its registration and its closing, so
	// that none of them ever meets another socket's.
	mu    sync.Mutex
	marks *marks // mostly nil
}

// attach puts the socket into the loop, in a mode.
func (s *Socket) attach(l *Loop, fd int, h Handler, mode uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loop != nil {
		return ErrAdded
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	gen := l.gens.Add(1)
	if gen == 0 { // wrapped; 0 is the eventfd's
		gen = l.gens.Add(1)
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

// Write writes as much of p as the kernel takes without waiting; nothing and no
// error is an answer. WantWritable tells when there is room again. The error is
// ErrClosed after Shut or End, or the system's.
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

// maxBuffers is how many of its buffers Writev hands to the kernel at most.
const maxBuffers = 64

// Writev is Write for several buffers, in one call of the kernel for each 64 of
// them. The buffers are not changed.
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

// WantWritable has Handler.Writable called once, when the kernel takes bytes
// again: at once if it does now. Calling it again before changes nothing. The
// error is ErrClosed once End has been called.
func (s *Socket) WantWritable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.state.Load()
	if state&(open|ending) != open {
		return ErrClosed
	}
	if state&want != 0 {
		return nil
	}
	s.setLocked(want, 0)
	if state&flushing != 0 {
		return nil // armed when Writable has returned
	}
	return s.armLocked()
}

// Kick has Handler.Kicked called soon, although no byte arrives. It does nothing
// for a socket that is at its end.
func (s *Socket) Kick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.state.Load()
	if state&(open|ending|kicked) != open {
		return
	}
	s.setLocked(kicked, 0)
	if state&modeMask != detached { // else its owner looks before it hands it back
		s.postKickLocked()
	}
}

func (s *Socket) postKickLocked() {
	s.loop.posts.add(s.loop.wakefd, syscall.EpollEvent{Events: kickEvent, Fd: s.fd, Pad: int32(s.gen)})
}

// Shut ends the connection in both directions. No Data call begins after it,
// and End follows with ErrShut as soon as a running handler has returned. Calling
// it again does nothing.
func (s *Socket) Shut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shutLocked()
}

func (s *Socket) shutLocked() {
	if s.state.Load()&(open|shut) == open {
		s.setLocked(shut, 0)
		// An error says that the connection has failed, which ends it as well.
		_ = syscall.Shutdown(int(s.fd), syscall.SHUT_RDWR)
	}
}

// CloseWrite tells the peer that nothing more is coming, after what was written.
// The error is ErrClosed after Shut or End, or the system's.
func (s *Socket) CloseWrite() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Load()&(open|shut) != open {
		return ErrClosed
	}
	return os.NewSyscallError("shutdown", syscall.Shutdown(int(s.fd), syscall.SHUT_WR))
}
