package wsmanager

import (
	"bytes"
	"slices"
)

// takeover exists while the callbacks of a connection run on another goroutine than its
// reader's, because one of them did not return soon. The new reader answers pings, sees a
// close frame, and queues messages. When the callback has returned, its successor goroutine
// calls the callbacks for the queued messages, in order. After the last of them the takeover
// ends, and the reader calls the callbacks again. Guarded by the connection's lock.
type takeover struct {
	queue []received    // messages for callbacks, in order
	size  int           // of queue, in bytes
	keep  bool          // the peer's direction ended while the connection was open: the queue arrived before that
	room  chan struct{} // closed when the reader may continue; nil while it does not wait
	after []func()      // parts of the connection's end that follow the callbacks
}

// handover is the state of the takeovers of a connection. Guarded by the connection's lock.
type handover struct {
	current *takeover     // nil if there is none now
	tenure  uint32        // number of the present reader; the first has 0
	ended   chan struct{} // closed when the connection has ended
}

// active returns the takeover that is in progress, or nil.
func (o *handover) active() *takeover {
	if o == nil {
		return nil
	}
	return o.current
}

// received is a message that waits for its callback.
type received struct {
	typ        MessageType
	compressed bool
	payload    []byte
}

// receivedSize is the number of bytes that a queued message counts in addition to its
// payload. It is at least the size of a received.
const receivedSize = 64

// takeOver makes another goroutine the reader if the callback of which calling is the state
// has not returned. It returns false if it has, or if the reader cannot be replaced now.
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

// replaced reports whether another goroutine has become the reader since the one with the
// number tenure.
func (d *dispatcher) replaced(h dispatchHost, tenure uint32) bool {
	h.Lock()
	defer h.Unlock()
	o := h.handover()
	return o != nil && o.tenure != tenure
}

// enqueue queues a message during a takeover. While there is no room it waits, on the
// reader's goroutine, so that the peer is slowed down. It returns false if there is no
// takeover: the reader calls the callback itself.
func (d *dispatcher) enqueue(h dispatchHost, m received) bool {
	h.Lock()
	defer h.Unlock()
	size := len(m.payload) + receivedSize
	for {
		k := h.handover().active()
		switch {
		case k == nil:
			return false
		case !h.isOpen():
			return true // dropped, like all messages that arrive now
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

// releaseReader lets a reader continue that waits in enqueue.
func (k *takeover) releaseReader() {
	if k != nil && k.room != nil {
		close(k.room)
		k.room = nil
	}
}

// readPaused reports whether the connection is not read at the moment because of a callback.
func (d *dispatcher) readPaused(k *takeover) bool {
	v := d.calling.Load()
	if v&callTaken == 0 {
		return v&callRuns != 0
	}
	return k != nil && k.room != nil
}

// callQueued continues after a callback during which another goroutine became the reader,
// and which returned err: it calls the callbacks for the queue, and what follows them.
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

// next returns the next task of callQueued: a message, or a part of the connection's end.
// Without either the takeover has ended.
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

// callGuarded calls f for callQueued. If f ends the goroutine, another one continues.
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

// awaitEnd waits until the connection has ended if its first reader was replaced. Without a
// takeover the caller is that reader and has seen the end.
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
