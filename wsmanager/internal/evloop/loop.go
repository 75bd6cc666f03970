//go:build linux

package evloop

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Loop waits for many sockets at once and calls their handlers. It is safe for concurrent
// use. It has no goroutine and no descriptor until the first Add, and one goroutine from
// then on until Close.
type Loop struct {
	opts Options

	// Read-only once the loop has started.
	created time.Time
	epfd    int             // epoll set A: every socket, and wakefd
	wakefd  int             // eventfd: readable after a post, to wake a leader that waits
	outer   *os.File        // epoll set B, which holds only A and is in Go's netpoller
	raw     syscall.RawConn // of outer
	outfd   int             // of outer

	table   table
	lastGen atomic.Uint32

	// w identifies the leader: seq<<1 | busy. seq increases by one with each event and
	// never repeats. The goroutine that owns the value of w owns the fields below it.
	w         atomic.Uint64
	batch     *batch // the batch with w's events
	silent    bool   // A is silenced in B
	busyPolls int    // successful polls in a row without a wait

	// settled is the last event whose socket needs no owner any more although the event is
	// not over: see leader.followUp.
	settled atomic.Uint64

	watchdog watchdog
	breaker  breaker
	posts    posts

	goroutines atomic.Int64

	mu      sync.Mutex
	started bool
	closed  bool
	sockets int
	done    chan struct{} // closed when the leader and the descriptors are gone
}

// New makes a Loop. It fails only where epoll does not exist, with errors.ErrUnsupported.
func New(opts Options) (*Loop, error) {
	l := &Loop{opts: opts.withDefaults(), created: time.Now(), done: make(chan struct{})}
	l.watchdog.loop = l
	return l, nil
}

// now returns the nanoseconds since the Loop was made.
func (l *Loop) now() int64 { return int64(time.Since(l.created)) }

// Add takes over fd, a connected stream socket, and calls h for its events. s is its handle
// and must be a zero Socket. fd must not be used anywhere else, neither by a net.Conn nor
// in another epoll set. Add makes it non-blocking.
//
// If Add fails, the caller still owns fd and h is never called. The error is ErrClosed
// after Close, ErrAdded for a used s, or a system error.
func (l *Loop) Add(fd int, h Handler, s *Socket) error { return l.add(fd, h, s, inline) }

// AddOwned is Add for a caller that needs the socket before its first Data: the caller owns
// the socket until Release, as a running handler would. The caller may write to it, and
// Writable is called meanwhile.
func (l *Loop) AddOwned(fd int, h Handler, s *Socket) error { return l.add(fd, h, s, detached) }

// Release ends the ownership that AddOwned or Take began. It must be called once. Bytes,
// kicks and the end of the connection that arrived meanwhile are handled from now on.
// Release calls no handler itself.
func (s *Socket) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	mode := inline
	if s.fastStreak < s.requiredStreak {
		mode = slow
	}
	s.setModeLocked(mode)
	_ = s.armLocked() // the error is logged
	if s.state.Load()&kickPending != 0 {
		s.postKickLocked()
	}
}

func (l *Loop) add(fd int, h Handler, s *Socket, mode uint32) error {
	if err := l.addSocket(); err != nil {
		return err
	}
	if err := s.attach(l, fd, h, mode); err != nil {
		l.removeSocket()
		return err
	}
	return nil
}

// addSocket counts a socket, and starts the loop for the first one.
func (l *Loop) addSocket() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	if !l.started {
		if err := l.openLocked(); err != nil {
			return fmt.Errorf("evloop: starting: %w", err)
		}
		l.started = true
		go l.lead(newLeader(l, l.w.Load(), nil))
	}
	l.sockets++
	return nil
}

// removeSocket reverses addSocket, and ends the loop with the last socket after Close.
func (l *Loop) removeSocket() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sockets--
	l.endLocked()
}

// Close makes Add fail from now on, and ends the loop as soon as the last socket has ended,
// at once if there is none. It does not end sockets (Shut does) and does not wait, so a
// handler may call it; see Done. Further calls do nothing. The error is always nil.
func (l *Loop) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		l.endLocked()
	}
	return nil
}

// Done is closed after Close, once every socket has ended and the loop's leader and
// descriptors are gone. After the last socket has ended that is a matter of milliseconds.
func (l *Loop) Done() <-chan struct{} { return l.done }

func (l *Loop) endLocked() {
	switch {
	case !l.closed || l.sockets > 0:
	case l.started:
		l.posts.stop(l.wakefd) // the leader calls tearDown
	default:
		close(l.done)
	}
}

// Stats returns a snapshot.
func (l *Loop) Stats() Stats {
	l.mu.Lock()
	sockets := l.sockets
	l.mu.Unlock()
	return Stats{
		Sockets:      sockets,
		Goroutines:   int(l.goroutines.Load()),
		Depositions:  l.watchdog.depositions.Load(),
		Blocked:      l.watchdog.blocked.Load(),
		HalfOpenings: l.breaker.halfOpenings.Load(),
		Openings:     l.breaker.openings.Load(),
	}
}

// openLocked creates the descriptors.
func (l *Loop) openLocked() (err error) {
	if l.epfd, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	defer func() {
		if err != nil {
			_ = syscall.Close(l.epfd) // no socket is registered in it
		}
	}()
	if l.wakefd, err = newEventfd(); err != nil {
		return os.NewSyscallError("eventfd2", err)
	}
	defer func() {
		if err != nil {
			_ = syscall.Close(l.wakefd) // no bytes can be lost
		}
	}()
	if err = epollCtl(l.epfd, syscall.EPOLL_CTL_ADD, l.wakefd, syscall.EPOLLIN, 0); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	if l.outfd, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if err = syscall.SetNonblock(l.outfd, true); err == nil {
		err = epollCtl(l.outfd, syscall.EPOLL_CTL_ADD, l.epfd, syscall.EPOLLIN, 0)
	}
	if err != nil {
		_ = syscall.Close(l.outfd) // no socket is registered in it
		return err
	}
	// NewFile adds a non-blocking descriptor to Go's netpoller. If deadlines are supported,
	// it has done so.
	l.outer = os.NewFile(uintptr(l.outfd), "evloop")
	if err = l.outer.SetReadDeadline(time.Time{}); err == nil {
		l.raw, err = l.outer.SyscallConn()
	}
	if err != nil {
		_ = l.outer.Close() // no socket is registered in it
		return err
	}
	l.watchdog.init()
	return nil
}

// tearDown releases the loop's descriptors. The leader calls it before it ends.
func (l *Loop) tearDown() {
	l.watchdog.stop()
	for _, err := range []error{l.outer.Close(), syscall.Close(l.epfd), syscall.Close(l.wakefd)} {
		if err != nil {
			l.opts.Logf("evloop: closing: %v", err)
		}
	}
	close(l.done)
}
