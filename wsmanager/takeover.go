package wsmanager

import (
	"bytes"
	"slices"
)

// takeOver makes another goroutine the reader if the callback that ran when d.calling was read
// has not returned; calling is the value that was read. It returns false if the callback has
// returned, if the connection has ended, or if the reader cannot be replaced now.
func (d *dispatcher) takeOver(h dispatchHost, calling uint32) bool {
	h.Lock()
	defer h.Unlock()
	if h.hasEnded() || !d.calling.CompareAndSwap(calling, calling|callTaken) {
		return false
	}
	// A callback that returns now waits for the lock.
	next, ok := h.takeReader()
	if !ok {
		d.calling.And(^callTaken)
		return false
	}
	o := h.makeHandover()
	o.current = &takeover{}
	o.tenure++
	if o.ended == nil {
		o.ended = make(chan struct{})
	}
	h.readOn(next, o.tenure)
	return true
}

// replaced reports whether another goroutine has become the reader after the reader with the
// number tenure.
func (d *dispatcher) replaced(h dispatchHost, tenure uint32) bool {
	h.Lock()
	defer h.Unlock()
	o := h.handover()
	return o != nil && o.tenure != tenure
}

// enqueue queues a message during a takeover. It is called on the reader's goroutine, and
// waits while the queue has no room, so that the peer is slowed down. It returns false if no
// takeover is in progress: then the reader calls the callback itself. If the connection is
// closing, the message is dropped, also if the takeover has ended meanwhile.
func (d *dispatcher) enqueue(h dispatchHost, m received) bool {
	h.Lock()
	defer h.Unlock()
	size := len(m.payload) + receivedSize
	for {
		k := h.handover().active()
		switch {
		case !h.isOpen():
			return true // dropped, like all messages that arrive while the connection closes
		case k == nil:
			return false
		case len(k.queue) == 0 || k.size+size <= h.maxQueuedSize():
			m.payload = bytes.Clone(m.payload)
			k.queue = append(k.queue, m)
			k.size += size
			return true
		}
		room := make(chan struct{})
		k.room = room
		h.Unlock()
		<-room
		h.Lock()
		h.resumeReading()
	}
}

// callQueued is called when a callback has returned err and another goroutine has become the
// reader meanwhile. It calls the callbacks for the queued messages, and then the functions
// that afterCallbacks has added. With that the takeover ends.
func (d *dispatcher) callQueued(h dispatchHost, err error) {
	h.endTaken(err)
	for {
		f, m := d.next(h)
		switch {
		case f != nil:
			_ = d.callGuarded(h, func() error { f(); return nil }) // the connection has ended: f reports its own panics
		case m.typ != 0:
			h.endTaken(d.callGuarded(h, func() error { return h.onQueued(m) }))
		default:
			return
		}
	}
}

// next returns the next task of callQueued: a message, or a part of the connection's end. If
// neither is left, next ends the takeover.
func (d *dispatcher) next(h dispatchHost) (after func(), m received) {
	h.Lock()
	defer h.Unlock()
	o := h.handover()
	k := o.current
	if !h.isOpen() && !k.keep {
		k.queue, k.size = nil, 0
	}
	if len(k.queue) > 0 {
		m = k.queue[0]
		k.queue[0] = received{}
		k.queue = k.queue[1:]
		k.size -= len(m.payload) + receivedSize
	}
	if k.size <= h.maxQueuedSize()/2 {
		k.releaseReader()
	}
	switch {
	case m.typ != 0:
	case len(k.after) > 0:
		after = k.after[0]
		k.after = slices.Delete(k.after, 0, 1)
	default:
		o.current = nil
		d.calling.And(^(callRuns | callTaken))
	}
	return after, m
}

// callGuarded calls f for callQueued. If f ends the goroutine, a new goroutine continues with
// callQueued.
func (d *dispatcher) callGuarded(h dispatchHost, f func() error) (err error) {
	exits := true
	defer func() {
		if v := recover(); v != nil {
			err = h.panicked(v)
		} else if exits {
			go d.callQueued(h, errExited)
		}
	}()
	err = f()
	exits = false
	return err
}

// afterCallbacks calls f, a part of the connection's end. During a takeover it leaves f to
// callQueued.
func (d *dispatcher) afterCallbacks(h dispatchHost, f func()) {
	h.Lock()
	k := h.handover().active()
	if k != nil {
		k.after = append(k.after, f)
	}
	h.Unlock()
	if k == nil {
		f()
	}
}

// awaitEnd waits until the connection has ended if its first reader was ever replaced.
// Otherwise the caller is that reader, and the connection has ended already.
func (d *dispatcher) awaitEnd(h dispatchHost) {
	h.Lock()
	var ended chan struct{}
	if o := h.handover(); o != nil {
		ended = o.ended
	}
	h.Unlock()
	if ended != nil {
		<-ended
	}
}
