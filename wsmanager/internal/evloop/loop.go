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

// Loop waits for many sockets at once and calls their handlers. It is safe for
// use by any goroutines. Until the first Add it has neither a goroutine nor a
// descriptor; from then on it has one goroutine, until Close.
type Loop struct {
	opts Options

	// Static once started.
	born   time.Time
	epfd   int             // epoll set A: every socket, and wakefd
	wakefd int             // eventfd: readable after posts to a leader that waits
	outer  *os.File        // epoll set B, which holds only A and is in Go's netpoller
	raw    syscall.RawConn // of outer
	outfd  int             // of outer

	table table
	gens  atomic.Uint32

	// w is who leads: seq<<1 | busy. seq grows by one with each event and never
	// repeats. Who owns the value of w owns the fields below it.
	w      atomic.Uint64
	cur    *batch // that w's events are in
	silent bool   // A is silenced in B
	streak int    // polls in a row, without a wait, that found something

	watchdog watchdog
	mood     mood
	posts    posts

	goroutines atomic.Int64

	mu      sync.Mutex
	started bool
	closed  bool
	sockets int
	done    chan struct{} // closed when the loop has nothing left
}

// New makes a Loop. It fails, with errors.ErrUnsupported, only where there is
// no epoll.
func New(opts Options) (*Loop, error) {
	l := &Loop{opts: opts.filled(), born: time.Now(), done: make(chan struct{})}
	l.watchdog.loop = l
	return l, nil
}

// now is the time since the Loop was made, in nanoseconds.
func (l *Loop) now() int64 { return int64(time.Since(l.born)) }

// Add takes over fd, a connected stream socket, and calls h for what happens to
// it; s is its handle, a zero Socket. fd must belong to nobody else: not to a
// net.Conn, nor to another epoll set. It is set to be non-blocking.
//
// On an error the descriptor is still the caller's, and h is never called. The
// error is ErrClosed after Close, ErrAdded for a used s, or the system's.
func (l *Loop) Add(fd int, h Handler, s *Socket) error { return l.add(fd, h, s, inline) }

// AddOwned is Add for a caller who has to do something with the socket before its
// first Data: until Release the caller owns it, as a running handler would. It may
// be written to, and Writable is called.
func (l *Loop) AddOwned(fd int, h Handler, s *Socket) error { return l.add(fd, h, s, detached) }

// Release ends what AddOwned or Take began, once. Bytes, kicks and ends that came
// meanwhile are handled from now on.
//
// It calls no handler itself.
func (s *Socket) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	mode := inline
	if s.ok < s.need {
		mode = slow
	}
	s.setModeLocked(mode)
	_ = s.armLocked() // logged
	if s.state.Load()&kicked != 0 {
		s.postKickLocked()
	}
}

func (l *Loop) add(fd int, h Handler, s *Socket, mode uint32) error {
	if err := l.enter(); err != nil {
		return err
	}
	if err := s.attach(l, fd, h, mode); err != nil {
		l.leave()
		return err
	}
	return nil
}

// enter counts a socket, and starts the loop with the first.
func (l *Loop) enter() error {
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

// leave undoes enter, and ends the loop with the last socket after Close.
func (l *Loop) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sockets--
	l.endLocked()
}

// Close lets no more sockets in, and ends the loop as soon as the last one has
// ended: at once if there is none. It does not end sockets (Shut does) and waits
// for nothing, so that it may be called from a handler; Done tells when the
// loop's leader and descriptors are gone. Calling it again does nothing. Its
// error is always nil.
func (l *Loop) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		l.endLocked()
	}
	return nil
}

// Done is closed after Close, once every socket has ended and the loop's leader
// and descriptors are gone. If every socket has ended it is not waited for long.
func (l *Loop) Done() <-chan struct{} { return l.done }

func (l *Loop) endLocked() {
	switch {
	case !l.closed || l.sockets > 0:
	case l.started:
		l.posts.stop(l.wakefd) // the leader tears down
	default:
		close(l.done)
	}
}

// Stats is a snapshot.
func (l *Loop) Stats() Stats {
	l.mu.Lock()
	sockets := l.sockets
	l.mu.Unlock()
	return Stats{
		Sockets:     sockets,
		Goroutines:  int(l.goroutines.Load()),
		Depositions: l.watchdog.depositions.Load(),
		Blocked:     l.watchdog.blocked.Load(),
		Suspicions:  l.mood.suspicions.Load(),
		Retreats:    l.mood.retreats.Load(),
	}
}

// openLocked makes the descriptors.
func (l *Loop) openLocked() (err error) {
	if l.epfd, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	defer func() {
		if err != nil {
			_ = syscall.Close(l.epfd) // nothing is in it
		}
	}()
	if l.wakefd, err = newEventfd(); err != nil {
		return os.NewSyscallError("eventfd2", err)
	}
	defer func() {
		if err != nil {
			_ = syscall.Close(l.wakefd) // nothing is in it
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
		_ = syscall.Close(l.outfd) // nothing is in it
		return err
	}
	// A descriptor that does not block is put into Go's netpoller by NewFile;
	// that deadlines are possible says that it was.
	l.outer = os.NewFile(uintptr(l.outfd), "evloop")
	if err = l.outer.SetReadDeadline(time.Time{}); err == nil {
		l.raw, err = l.outer.SyscallConn()
	}
	if err != nil {
		_ = l.outer.Close() // nothing is in it
		return err
	}
	l.watchdog.init()
	return nil
}

// tearDown is the leader's last act.
func (l *Loop) tearDown() {
	l.watchdog.end()
	for _, err := range []error{l.outer.Close(), syscall.Close(l.epfd), syscall.Close(l.wakefd)} {
		if err != nil {
			l.opts.Logf("evloop: closing: %v", err)
		}
	}
	close(l.done)
}
