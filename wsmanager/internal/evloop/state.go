//go:build linux

package evloop

import (
	"syscall"
)

// Socket.state is a set of these bits. It is written under Socket.mu only; the leader reads
// it without the lock. The state of a Socket that is not open is 0.
const (
	// The mode tells which goroutine may read, and call Data, Kicked and End.
	inline   uint32 = 0 // the leader, during an event of the socket
	slow     uint32 = 1 // none: the next event goes to a goroutine
	detached uint32 = 2 // the goroutine that detached the socket or got it
	modeMask uint32 = 3

	open             uint32 = 1 << 2 // from Add until the descriptor is closed
	shut             uint32 = 1 << 3 // Shut was called
	wantWritable     uint32 = 1 << 4 // WantWritable was called: EPOLLOUT is armed
	inWritable       uint32 = 1 << 5 // Writable is running
	kickPending      uint32 = 1 << 6 // Kick was called: the owner has to call Kicked
	ending           uint32 = 1 << 7 // the owner has begun to end the socket
	endAfterWritable uint32 = 1 << 8 // the goroutine in Writable has to call End afterwards
)

const (
	readEvents  = syscall.EPOLLIN | syscall.EPOLLRDHUP
	errorEvents = syscall.EPOLLERR | syscall.EPOLLHUP // reported even if not requested

	// kickEvent marks an event of Socket.Kick, which does not come from the kernel. It is
	// the bit of EPOLLET, which no event has and which this package does not use.
	kickEvent uint32 = 1 << 31
)

// registration returns the events to request from epoll in a state.
func registration(state uint32) (events uint32) {
	switch state & modeMask {
	case inline:
		events = readEvents
	case slow:
		events = readEvents | syscall.EPOLLONESHOT
	case detached:
		// No EPOLLIN: only the owner reads. ERR and HUP come once.
		events = syscall.EPOLLONESHOT
	}
	if state&wantWritable != 0 && state&inWritable == 0 {
		events |= syscall.EPOLLOUT
	}
	return events
}

// setLocked sets and clears bits of the state.
func (s *Socket) setLocked(set, unset uint32) {
	s.state.Store(s.state.Load()&^unset | set)
}

// setModeLocked changes the mode. The store precedes the registration that follows from it:
// it is the happens-before edge from this owner to the one that serves the kernel's next
// event.
func (s *Socket) setModeLocked(mode uint32) { s.setLocked(mode, modeMask) }

// armLocked registers the socket for the events that its state requires. epoll checks the
// socket while it does, so events that came meanwhile are not lost.
func (s *Socket) armLocked() error {
	err := epollCtl(s.loop.epfd, syscall.EPOLL_CTL_MOD, int(s.fd), registration(s.state.Load()), s.gen)
	if err != nil {
		// It can't fail for a registered descriptor.
		s.loop.opts.Logf("evloop: renewing a socket's registration: %v", err)
	}
	return err
}
