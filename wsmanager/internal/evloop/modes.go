//go:build linux

package evloop

import "syscall"

// Socket.state is a set of these bits. It is written under Socket.mu only, and
// read without it by the leader; a zero state is a Socket that is not open.
const (
	// The mode: who may read, and call Data, Kicked and End.
	inline   uint32 = 0 // the leader, during an event of the socket
	slow     uint32 = 1 // nobody: the next event goes to a goroutine
	detached uint32 = 2 // the goroutine that detached it or got it
	modeMask uint32 = 3

	open         uint32 = 1 << 2 // from Add until the descriptor is closed
	shut         uint32 = 1 << 3 // Shut was called
	want         uint32 = 1 << 4 // WantWritable was called: EPOLLOUT is armed
	flushing     uint32 = 1 << 5 // Writable is running
	kicked       uint32 = 1 << 6 // Kick was called: the owner calls Kicked
	ending       uint32 = 1 << 7 // the owner has begun to end the socket
	endOnFlushed uint32 = 1 << 8 // whoever runs Writable calls End after it
)

const (
	readEvents  = syscall.EPOLLIN | syscall.EPOLLRDHUP
	errorEvents = syscall.EPOLLERR | syscall.EPOLLHUP // reported whether asked for or not

	// kickEvent marks an event that is ours and not the kernel's: Socket.Kick.
	// It is the bit of EPOLLET, which no event has and which is not used here.
	kickEvent uint32 = 1 << 31
)

// registration is the events that epoll is asked for in a state.
func registration(state uint32) (events uint32) {
	switch state & modeMask {
	case inline:
		events = readEvents
	case slow:
		events = readEvents | syscall.EPOLLONESHOT
	case detached:
		// No EPOLLIN: nothing is read but by the owner. ERR and HUP come once.
		events = syscall.EPOLLONESHOT
	}
	if state&want != 0 && state&flushing == 0 {
		events |= syscall.EPOLLOUT
	}
	return events
}

// setLocked sets and unsets bits of the state.
func (s *Socket) setLocked(set, unset uint32) {
	s.state.Store(s.state.Load()&^unset | set)
}

// setModeLocked changes the mode. The store comes before the registration that
// follows from it: it is the edge from this owner to the one that the kernel's
// next event makes.
func (s *Socket) setModeLocked(mode uint32) { s.setLocked(mode, modeMask) }

// armLocked registers the socket for what its state asks for. epoll looks at
// the socket again while it does, so what came in the meantime is not lost.
func (s *Socket) armLocked() error {
	err := epollCtl(s.loop.epfd, syscall.EPOLL_CTL_MOD, int(s.fd), registration(s.state.Load()), s.gen)
	if err != nil {
		// It can't fail for a registered descriptor, and this one is.
		s.loop.opts.Logf("evloop: registering a socket anew: %v", err)
	}
	return err
}

// marks is what a Socket needs only once it has been served apart from the
// leader. Guarded by Socket.mu.
type marks struct {
	by    uint64 // the event (a value of Loop.w) during which the watchdog detached it, while its leader owns it
	last  uint64 // the last event during which the watchdog detached it; never cleared
	skip  uint64 // the event during which it must not: the deposed leader was faster
	sure  bool   // by: the leader was blocked
	since int64  // by: when, as Loop.now
	taken uint32 // how many times Take has passed the ownership on
	cause error  // of the end: a panic in Writable, or endOnFlushed's

	work func() // Socket.work, made once, so that starting it allocates nothing
}

func (s *Socket) marksLocked() *marks {
	if s.marks == nil {
		s.marks = &marks{work: s.work}
	}
	return s.marks
}

// Proof that a socket's handler is quick: events in a row that were served soon.
const (
	neverProven  = 8    // fewer: goes to a goroutine while the loop is suspicious
	firstNeed    = 8    // wanted after the first time that it was slow
	longProven   = 4096 // more: a long good time counts as a first time
	highestNeed  = 2048
	highestProof = longProven + 1
)

func (s *Socket) praise() {
	if s.ok < highestProof {
		s.ok++
	}
}

// blame notes that the handler blocked: it runs on goroutines until it has been
// quick need times in a row.
func (s *Socket) blame() {
	if s.need == 0 || s.ok > longProven {
		s.need = firstNeed
	} else {
		s.need = min(4*s.need, highestNeed)
	}
	s.ok = 0
}
