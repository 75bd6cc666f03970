package wsmanager

import (
	"bytes"
	"errors"
	"slices"
)

// A callback runs on the goroutine that reads the connection, so that a message that is
// handled soon costs no change of goroutines. If it takes its time, another goroutine
// becomes the reader: pings are answered, a close frame is seen, and messages are queued
// until the callback has returned. Then a goroutine calls the callbacks for what is
// queued, in order; with the last of it the takeover is over, and the reader calls the
// callbacks again.
//
// Who runs callbacks is in Conn.calling. It changes from "the reader" to "taken" by a
// compare-and-swap, which competes with the return of the callback: one of the two fails.
// A reader that finds at its callback's return that it was taken from touches nothing of
// what a reader owns, and ends; see frame.ErrTaken and Conn.passedOn.

// The bits of Conn.calling.
const (
	callRuns    uint32 = 1 << iota // a callback has not returned, or others are due after it
	callTaken                      // the callbacks are not the reader's: Conn.rare.taken is there
	callWatched                    // the connection is in Manager.watch
	callCount                      // from here on the callbacks of the reader are counted
)

// takeover is what a connection has while its callbacks run on another goroutine than
// its reader's. Guarded by Conn.mu.
type takeover struct {
	queue []received    // for callbacks, in order
	size  int           // of queue, in bytes
	keep  bool          // the peer's side has ended while the connection was open: what is queued came before
	room  chan struct{} // closed when the reader may go on; nil while it does
	after []func()      // what the connection's end has left for the time after the callbacks
}

// received is a message that waits for its callback.
type received struct {
	typ        MessageType
	compressed bool
	payload    []byte
}

// receivedSize is what a message counts besides its payload: what takes more of them
// than this is none of the peer's doing.
const receivedSize = 64

// takenLocked is the takeover that goes on, or nil.
func (c *Conn) takenLocked() *takeover {
	if c.rare == nil {
		return nil
	}
	return c.rare.taken
}

// takeOver makes another goroutine the reader, if the callback that calling says runs has
// not returned. false: it has, or it is no time for that.
func (c *Conn) takeOver(calling uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.state == stateCut || !c.calling.CompareAndSwap(calling, calling|callTaken) {
		return false
	}
	// The callback that returns now waits for mu, to see what it was taken for.
	d, ok := takeReader(c.t)
	if !ok {
		c.calling.And(^callTaken)
		return false
	}
	r := c.rareLocked()
	r.taken = &takeover{}
	r.tenure++
	if r.over == nil {
		r.over = make(chan struct{})
	}
	var rest []byte
	if fr := c.frames; fr != nil {
		rest = bytes.Clone(fr.Unread()) // the callback's message lies in the same buffer
		fr.SetUnread(nil)
	}
	go d.readOn(c, rest, r.tenure)
	return true
}

// passedOn reports whether the connection was taken from the reader whose tenure that
// was. The first has 0.
func (c *Conn) passedOn(tenure uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rare != nil && c.rare.tenure != tenure
}

// begins notes that a callback begins, on the reader's goroutine.
func (c *Conn) begins() {
	if c.calling.Add(callCount|callRuns)&callWatched == 0 {
		c.calling.Or(callWatched)
		c.m.watch.add(c)
	}
}

// returned notes that a callback has come to its end, with an error maybe. It reports
// whether another goroutine has become the reader: that one reads, and a third goes on
// with the callbacks. (This one's stack, its buffer and the rest of its life are its
// caller's.)
func (c *Conn) returned(err error) (taken bool) {
	for {
		v := c.calling.Load()
		if v&callTaken == 0 {
			if c.calling.CompareAndSwap(v, v&^callRuns) {
				return false
			}
			continue
		}
		c.mu.Lock()
		taken := c.takenLocked() != nil // or it could not be taken after all
		c.mu.Unlock()
		if taken {
			go c.goOn(err)
			return true
		}
	}
}

// enqueue queues a message for the goroutine that calls the callbacks. It waits while
// there is no room, with the reader, so that the peer is held up. false: no such
// goroutine is there any more, and the reader calls the callback itself.
func (c *Conn) enqueue(m received) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	size := len(m.payload) + receivedSize
	for {
		k := c.takenLocked()
		switch {
		case k == nil:
			return false
		case c.state != stateOpen:
			return true // as in arrived
		case len(k.queue) == 0 || k.size+size <= c.m.opts.MaxMessageSize:
			m.payload = bytes.Clone(m.payload)
			k.queue = append(k.queue, m)
			k.size += size
			return true
		}
		room := make(chan struct{})
		k.room = room
		c.mu.Unlock()
		<-room
		c.mu.Lock()
		c.lastRead.Store(c.m.wheel.Now()) // what the peer has sent meanwhile nobody has heard
	}
}

// letReadLocked lets a reader go on that waits in enqueue.
func (k *takeover) letReadLocked() {
	if k != nil && k.room != nil {
		close(k.room)
		k.room = nil
	}
}

// deafLocked reports whether nothing is read from the peer, because of a callback.
func (c *Conn) deafLocked() bool {
	v := c.calling.Load()
	if v&callTaken == 0 {
		return v&callRuns != 0
	}
	k := c.takenLocked()
	return k != nil && k.room != nil
}

// inputEndsLocked notes, before the connection's state changes, that the peer's side has
// ended: what is queued has arrived while the connection was open.
func (c *Conn) inputEndsLocked() {
	if k := c.takenLocked(); k != nil && c.state == stateOpen {
		k.keep = true
	}
}

// goOn calls the callbacks after one that was taken from has returned err, until there
// is nothing left to call.
func (c *Conn) goOn(err error) {
	c.endTaken(err)
	for {
		f, m := c.nextCall()
		switch {
		case f != nil:
			_ = c.apart(func() error { f(); return nil }) // the connection has ended: f reports its own panics
		case m.typ != 0:
			c.endTaken(c.apart(func() error { return c.present(m) }))
		default:
			return
		}
	}
}

// nextCall is what goOn has to do next: the connection's end, or a message. With neither
// the takeover is over.
func (c *Conn) nextCall() (after func(), m received) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.takenLocked()
	if c.state != stateOpen && !k.keep {
		k.queue, k.size = nil, 0
	}
	if len(k.queue) > 0 {
		m = k.queue[0]
		k.queue[0] = received{}
		k.queue = k.queue[1:]
		k.size -= len(m.payload) + receivedSize
	}
	if k.size <= c.m.opts.MaxMessageSize/2 {
		k.letReadLocked()
	}
	switch {
	case m.typ != 0:
	case len(k.after) > 0:
		after = k.after[0]
		k.after = slices.Delete(k.after, 0, 1)
	default:
		c.rare.taken = nil
		c.calling.And(^(callRuns | callTaken))
	}
	return after, m
}

// apart calls f for goOn, which goes on elsewhere if f ends the goroutine.
func (c *Conn) apart(f func() error) (err error) {
	exits := true
	defer func() {
		if v := recover(); v != nil {
			err = c.recovered(v)
		} else if exits {
			go c.goOn(errExited)
		}
	}()
	err = f()
	exits = false
	return err
}

// present calls OnMessage for a message that was queued.
func (c *Conn) present(m received) error {
	payload := m.payload
	if m.compressed {
		buf := getFrame()
		defer putFrame(buf)
		plain, err := c.inflate(buf, m.typ, payload)
		if err != nil {
			return err
		}
		payload = plain
	}
	return callbackFailed(c.m.callbacks.OnMessage(c, Message{Type: m.typ, Payload: payload}))
}

// endTaken ends the connection as a callback's error asks for, if there is one. The
// reader does the rest.
func (c *Conn) endTaken(err error) {
	if err == nil {
		return
	}
	err = c.endBy(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.takenLocked(); k != nil {
		k.keep = false
	}
	var ce *CloseError
	if !errors.As(err, &ce) {
		return
	}
	wasClosing := c.state == stateClosing
	c.failLocked(ce)
	if wasClosing && !c.ended && c.state == stateClosing {
		c.t.Interrupt() // OnClose does not wait for the peer
	}
}

// afterCallbacks calls f, which belongs to the connection's end, or leaves it to the
// goroutine whose callback has not returned.
func (c *Conn) afterCallbacks(f func()) {
	c.mu.Lock()
	k := c.takenLocked()
	if k != nil {
		k.after = append(k.after, f)
	}
	c.mu.Unlock()
	if k == nil {
		f()
	}
}

// awaitEnd waits until the connection has ended, if it was taken from who has begun to
// serve it. The others know.
func (c *Conn) awaitEnd() {
	c.mu.Lock()
	var over chan struct{}
	if c.rare != nil {
		over = c.rare.over
	}
	c.mu.Unlock()
	if over != nil {
		<-over
	}
}
