package wsmanager

import (
	"cmp"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
)

// broadcast is one message on its way to many.
type broadcast struct {
	frames  [dialects][]byte // nil for one that can't be sent
	encoded dialectSet       // those that frames holds; a connection with another one came later
	except  []*Conn          // each once
	entered []recipient      // of these, those in the set; guarded by the queue's lock until it is published
	order   uint64           // among all broadcasts of the Manager
	awaited bool             // its caller waits for the result; otherwise it was told that all receivers have it queued

	sent          Sent         // by the goroutine that delivers the batch
	queued, drops atomic.Int32 // by others: see Conn.catchUpLocked
}

var broadcasts = sync.Pool{New: func() any { return new(broadcast) }}

// release gives b back when its batch has been delivered. No other goroutine has it then:
// one that takes it for a connection holds the connection's lock until it was sent, and
// the goroutine that delivers the batch has had that lock afterwards.
func (b *broadcast) release() {
	clear(b.frames[:])
	clear(b.except)
	clear(b.entered)
	b.except, b.entered = b.except[:0], b.entered[:0]
	b.encoded, b.order, b.awaited, b.sent = 0, 0, false, Sent{}
	b.queued.Store(0)
	b.drops.Store(0)
	broadcasts.Put(b)
}

// size is how many bytes the frames have.
func (b *broadcast) size() (n int) {
	for d := range b.encoded.all {
		n += len(b.frames[d])
	}
	return n
}

// result is what became of the broadcast, when its batch has been delivered.
func (b *broadcast) result() Sent {
	return Sent{b.sent.Queued + int(b.queued.Load()), b.sent.Dropped + int(b.drops.Load())}
}

// deliver sends the batch of q, which ends with the number last, to all connections
// that are in the set now.
func (m *Manager) deliver(q *broadcastQueue, last uint32) {
	buf := snapshot(q.to)
	defer putSnapshot(buf)
	j := joined{batch: q.backlog.batch, masked: m.keys != nil}
	defer j.release()
	for _, r := range *buf {
		r.c.deliverBatch(q, r, last, &j)
	}
}

// deliverBatch sends a batch to one connection, except what was sent to it already.
func (c *Conn) deliverBatch(q *broadcastQueue, r recipient, last uint32, j *joined) {
	c.mu.Lock()
	delivered := r.delivered()
	n := int(int32(last - *delivered))
	switch {
	case n <= 0 || !r.receiving():
	case c.behindElsewhereLocked(q):
		c.catchUpLocked()
	default:
		*delivered = last
		d, _ := c.speaks()
		batch := j.batch[len(j.batch)-n:]
		if data, frames := j.frames(d, n); data != nil && !j.excepts(c) {
			c.sendJoinedLocked(data, frames, batch, false)
		} else {
			c.sendBroadcastsLocked(batch, d, false)
		}
	}
	crowded := c.out.crowded()
	c.mu.Unlock()
	if crowded {
		yieldToWriter()
	}
}

// behindLocked reports whether broadcasts may be pending for the connection.
func (c *Conn) behindLocked() bool {
	return c.delivered != c.m.registry.queue.published.Load() ||
		c.places != nil && c.places.bits&c.m.pending.once.Load() != 0
}

// behindElsewhereLocked reports whether broadcasts to other sets than that of q may be
// pending for the connection.
func (c *Conn) behindElsewhereLocked(q *broadcastQueue) bool {
	if q.bit == 0 {
		return c.places != nil && c.places.bits&c.m.pending.once.Load() != 0
	}
	p := &c.m.pending
	others := p.once.Load()&^q.bit | p.twice.Load()&q.bit
	return c.delivered != c.m.registry.queue.published.Load() || c.places != nil && c.places.bits&others != 0
}

// catchUps lends what Conn.catchUpLocked needs.
var catchUps = sync.Pool{New: func() any { return new(catchUp) }}

type catchUp struct {
	list []*broadcast

	// Of these, what is sent to the connection.
	sent   []*broadcast
	frames [][]byte
}

func (u *catchUp) release() {
	clear(u.list)
	clear(u.sent)
	clear(u.frames)
	u.list, u.sent, u.frames = u.list[:0], u.sent[:0], u.frames[:0]
	catchUps.Put(u)
}

// takePendingLocked takes what is pending for the connection in all its sets, in the
// order in which it was broadcast.
//
// The sets are looked at one after the other. A broadcast that is made meanwhile to one
// that comes late could be taken, and one that was made before it, to a set that came
// early, could not. So what comes behind the newest of now stays pending.
func (u *catchUp) takePendingLocked(c *Conn) {
	upTo := c.m.broadcastOrder.Load()
	for r, q := range c.setsLocked() {
		u.list = q.take(r, upTo, u.list)
	}
	if len(u.list) > 1 {
		slices.SortFunc(u.list, func(a, b *broadcast) int { return cmp.Compare(a.order, b.order) })
	}
}

// setsLocked walks the sets that the connection is in, and its place in each.
func (c *Conn) setsLocked() iter.Seq2[recipient, *broadcastQueue] {
	return func(yield func(recipient, *broadcastQueue) bool) {
		if !yield(recipient{c: c}, &c.m.registry.queue) {
			return
		}
		for ship := range c.places.all() {
			if !yield(recipient{c, ship}, &ship.of.queue) {
				return
			}
		}
	}
}

// catchUpLocked sends what is pending for the connection, so that what is sent next
// does not overtake it.
func (c *Conn) catchUpLocked() {
	d, ok := c.receives()
	if !ok {
		return
	}
	u := catchUps.Get().(*catchUp)
	defer u.release()
	u.takePendingLocked(c)
	c.sendBroadcastsLocked(u.list, d, true)
}

// leaveLocked ends the reception of broadcasts to one of the connection's groups. What
// is pending is sent first.
func (c *Conn) leaveLocked(ship *membership) {
	d, ok := c.receives()
	if !ok {
		return
	}
	u := catchUps.Get().(*catchUp)
	defer u.release()
	u.list = ship.of.queue.exit(recipient{c, ship}, d, u.list)
	u.takePendingLocked(c) // also what is older in other sets
	c.sendBroadcastsLocked(u.list, d, true)
}

// endReceptionLocked ends the reception of broadcasts: the connection closes. What is
// pending is sent, or counted as dropped; so is what is broadcast in between.
func (c *Conn) endReceptionLocked(send bool) {
	d, ok := c.receives()
	if !ok {
		return
	}
	if send && c.behindLocked() {
		c.catchUpLocked()
	}
	u := catchUps.Get().(*catchUp)
	defer u.release()
	for r, q := range c.setsLocked() {
		u.list = q.exit(r, d, u.list)
	}
	for _, b := range u.list {
		if !b.awaited && b.isFor(c, d) {
			c.m.stats.drop(dropClosed, 1)
		}
	}
}

// isFor reports whether c, of the dialect d, is to get the broadcast.
func (b *broadcast) isFor(c *Conn, d dialect) bool {
	return b.encoded.has(d) && !slices.Contains(b.except, c)
}

// sendBroadcastsLocked sends those of the list that are for c. late: not by the
// goroutine that delivers the batch.
func (c *Conn) sendBroadcastsLocked(list []*broadcast, d dialect, late bool) {
	if len(list) <= 1 || c.m.keys != nil { // a client masks each frame by itself
		for _, b := range list {
			c.sendBroadcastLocked(b, d, late)
		}
		return
	}
	u := catchUps.Get().(*catchUp)
	defer u.release()
	size := 0
	for _, b := range list {
		switch {
		case !b.isFor(c, d):
		case b.frames[d] == nil:
			b.dropUnsendable(c, late)
		default:
			u.sent = append(u.sent, b)
			u.frames = append(u.frames, b.frames[d])
			size += len(b.frames[d])
		}
	}
	if size > maxJoined {
		for i, b := range u.sent {
			b.note(c, c.out.send(c.session(), u.frames[i], true), late)
		}
		return
	}
	buf := getFrame()
	defer putFrame(buf)
	for _, f := range u.frames {
		*buf = append(*buf, f...)
	}
	c.sendJoinedLocked(*buf, u.frames, u.sent, late)
}

func (c *Conn) sendBroadcastLocked(b *broadcast, d dialect, late bool) {
	switch {
	case !b.isFor(c, d):
	case b.frames[d] == nil:
		b.dropUnsendable(c, late)
	case c.m.keys != nil:
		buf := getFrame()
		defer putFrame(buf)
		*buf = c.m.keys.Mask(append(*buf, b.frames[d]...), 0)
		b.note(c, c.out.send(c.session(), *buf, false), late)
	default:
		b.note(c, c.out.send(c.session(), b.frames[d], true), late)
	}
}

// sendJoinedLocked sends the frames of several broadcasts, of which data is all one
// behind the other.
func (c *Conn) sendJoinedLocked(data []byte, frames [][]byte, list []*broadcast, late bool) {
	i := 0
	if c.life.state == stateOpen && c.out.mayWrite() {
		n, _ := c.out.tryWrite(c.session(), data) // after an error the state says so
		for ; i < len(frames) && n >= len(frames[i]); i++ {
			n -= len(frames[i])
			list[i].note(c, nil, late)
		}
		c.out.traffic().messagesOut.Add(uint64(i))
		if n > 0 && c.life.state == stateOpen {
			c.out.push(c.session(), frames[i], n, true)
			list[i].note(c, nil, late)
			i++
		}
	}
	for ; i < len(frames); i++ {
		err := ErrClosed
		if c.life.state == stateOpen {
			err = c.out.enqueue(c.session(), frames[i], true)
		}
		list[i].note(c, err, late)
	}
}

// note counts the result of the broadcast for one connection.
func (b *broadcast) note(c *Conn, err error, late bool) {
	switch {
	case err == ErrClosed:
		if !b.awaited { // its caller was told that it is queued
			c.m.stats.drop(dropClosed, 1)
		}
	case !late:
		b.sent.count(err)
	case err == nil:
		b.queued.Add(1)
	default:
		b.drops.Add(1)
	}
}

// dropUnsendable counts a broadcast that can't be sent in the connection's dialect.
func (b *broadcast) dropUnsendable(c *Conn, late bool) {
	c.m.stats.drop(dropUnsendable, 1)
	if late {
		b.drops.Add(1)
	} else {
		b.sent.Dropped++
	}
}

// joined is the frames of a batch, one behind the other, for each dialect that a
// receiver turns out to have.
type joined struct {
	batch  []*broadcast
	masked bool // by a client
	each   [dialects]struct {
		made bool
		data *[]byte // nil if they can't be joined
		all  [][]byte
	}
}

// frames returns the frames of the batch for d. data is nil if the receiver needs less
// than all of them, or if they are not joined; a client's are not, as it masks each.
func (j *joined) frames(d dialect, n int) (data []byte, frames [][]byte) {
	if n < len(j.batch) || n < 2 || j.masked {
		return nil, nil
	}
	e := &j.each[d]
	if !e.made {
		e.made = true
		size := 0
		for _, b := range j.batch {
			size += len(b.frames[d])
			e.all = append(e.all, b.frames[d])
		}
		whole := !slices.ContainsFunc(e.all, func(f []byte) bool { return f == nil })
		if whole && size <= maxJoined {
			e.data = getFrame()
			for _, f := range e.all {
				*e.data = append(*e.data, f...)
			}
		}
	}
	if e.data == nil {
		return nil, nil
	}
	return *e.data, e.all
}

func (j *joined) excepts(c *Conn) bool {
	return slices.ContainsFunc(j.batch, func(b *broadcast) bool { return slices.Contains(b.except, c) })
}

func (j *joined) release() {
	for i := range j.each {
		if buf := j.each[i].data; buf != nil {
			putFrame(buf)
		}
	}
}
