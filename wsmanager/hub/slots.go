package hub

import "sync"

// slots limits how many calls of a connection run at a time. A call that waits for the other side releases its slot,
// because the other side may need a further call to answer. The connection's mutex guards all fields.
type slots struct {
	owner       slotOwner
	changed     *signal // of the connection, on its mutex
	limit       int32
	active      int32 // calls that hold a slot
	reacquiring int32 // calls that want their slot back; they go before calls that have not begun
}

// slotOwner is the connection that slots belong to. Both methods are called with its mutex held.
type slotOwner interface {
	// startCallsLocked starts waiting calls for which a slot is free.
	startCallsLocked()

	// closingLocked reports whether the connection is ending.
	closingLocked() bool
}

// slotHolder is the state of one call in slots. The connection's mutex guards it.
type slotHolder struct {
	exempt  bool // the call needs no slot
	holding bool
	ended   bool
	waits   int // goroutines of the call that wait for the other side
}

// hasFreeLocked reports whether a call that has not begun can get a slot.
func (s *slots) hasFreeLocked() bool { return s.active+s.reacquiring < s.limit }

func (s *slots) tryAcquireLocked(h *slotHolder) bool {
	if h.exempt {
		return true
	}
	if !s.hasFreeLocked() {
		return false
	}
	s.active++
	h.holding = true
	return true
}

// endLocked is called when the call has ended.
func (s *slots) endLocked(h *slotHolder) {
	h.ended = true
	s.freeLocked(h)
}

func (s *slots) freeLocked(h *slotHolder) {
	if h.holding {
		h.holding = false
		s.active--
	}
}

// release gives the call's slot to other calls. reacquire waits until the call may go on.
func (s *slots) release(h *slotHolder) (reacquire func()) {
	s.changed.mu.Lock()
	defer s.changed.mu.Unlock()
	h.waits++
	if h.holding {
		s.freeLocked(h)
		s.owner.startCallsLocked()
		s.changed.Broadcast()
	}
	return sync.OnceFunc(func() {
		s.changed.mu.Lock()
		defer s.changed.mu.Unlock()
		h.waits--
		s.reacquiring++
		for s.wantsLocked(h) && !s.owner.closingLocked() && s.active >= s.limit {
			s.changed.Wait()
		}
		s.reacquiring--
		if s.wantsLocked(h) {
			h.holding = true
			s.active++
		}
		s.owner.startCallsLocked()
		s.changed.Broadcast()
	})
}

// wantsLocked reports whether the call runs again and has no slot.
func (s *slots) wantsLocked(h *slotHolder) bool {
	return !h.exempt && !h.holding && !h.ended && h.waits == 0
}
