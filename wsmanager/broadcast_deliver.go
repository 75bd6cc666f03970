package wsmanager

import (
	"cmp"
	"iter"
	"slices"
	"sync"

	"github.com/speakingtube/speakingtube/wsmanager/internal/counters"
)

// deliver sends the batch of q, which ends with the number last, to the connections that
// are in the set now.
func (br *broadcaster) deliver(q *broadcastQueue, last uint32) {
	buf := snapshot(q.to)
	defer putSnapshot(buf)
	j := batchFrames{batch: q.backlog.batch}
	defer j.release()
	for _, r := range *buf {
		br.deliverTo(q, r, last, &j)
	}
}

// deliverTo sends a batch to one connection, except the broadcasts that it has already.
func (br *broadcaster) deliverTo(q *broadcastQueue, r recipient, last uint32, j *batchFrames) {
	c := r.c
	c.mu.Lock()
	delivered := r.delivered()
	n := int(int32(last - *delivered))
	switch {
	case n <= 0 || !r.receiving():
	case br.behindElsewhereLocked(c, q):
		br.catchUpLocked(c)
	default:
		*delivered = last
		e, _ := c.reception.encoding()
		batch := j.batch[len(j.batch)-n:]
		var data []byte
		var frames [][]byte
		if c.m.keys == nil { // each frame of a client has its own mask
			data, frames = j.frames(e, n)
		}
		if data != nil && !j.excepts(c) {
			sendJoinedLocked(c, data, frames, batch, false)
		} else {
			sendBroadcastsLocked(c, batch, e, false)
		}
	}
	crowded := c.out.crowded()
	c.mu.Unlock()
	if crowded {
		yieldToWriter()
	}
}

// behindLocked reports whether broadcasts may be pending for the connection.
func (br *broadcaster) behindLocked(c *Conn) bool {
	return c.delivered != c.m.registry.queue.published.Load() ||
		c.memberships != nil && br.pending.inAny(c.memberships.bits)
}

// behindElsewhereLocked reports whether broadcasts to other sets than that of q may be
// pending for the connection.
func (br *broadcaster) behindElsewhereLocked(c *Conn, q *broadcastQueue) bool {
	if q.bit == 0 {
		return c.memberships != nil && br.pending.inAny(c.memberships.bits)
	}
	return c.delivered != c.m.registry.queue.published.Load() ||
		c.memberships != nil && br.pending.inOthers(c.memberships.bits, q.bit)
}

// setsLocked walks the sets that the connection is in, with their queues.
func (br *broadcaster) setsLocked(c *Conn) iter.Seq2[recipient, *broadcastQueue] {
	return func(yield func(recipient, *broadcastQueue) bool) {
		if !yield(recipient{c: c}, &br.registry.queue) {
			return
		}
		for m := range c.memberships.all() {
			if !yield(recipient{c, m}, &m.of.queue) {
				return
			}
		}
	}
}

// catchUps has the memory that catch-ups need.
var catchUps = sync.Pool{New: func() any { return new(catchUp) }}

// catchUp is the pending broadcasts of one connection.
type catchUp struct {
	list []*broadcast

	sent   []*broadcast // the part of a list that is sent
	frames [][]byte     // of sent
}

func (u *catchUp) release() {
	clear(u.list)
	clear(u.sent)
	clear(u.frames)
	u.list, u.sent, u.frames = u.list[:0], u.sent[:0], u.frames[:0]
	catchUps.Put(u)
}

// takePendingLocked takes the pending broadcasts of the connection from the queues of all
// its sets, in the order in which they were made.
//
// The queues are read one after the other. If a broadcast is made meanwhile to a set that
// is read late, and an older one to a set that was read early, taking the first would
// change their order. So broadcasts that are newer than the beginning stay pending.
func (br *broadcaster) takePendingLocked(u *catchUp, c *Conn) {
	upTo := br.order.Load()
	for r, q := range br.setsLocked(c) {
		u.list = q.take(r, upTo, u.list)
	}
	if len(u.list) > 1 {
		slices.SortFunc(u.list, func(a, b *broadcast) int { return cmp.Compare(a.order, b.order) })
	}
}

// catchUpLocked sends the pending broadcasts of the connection, so that the next message
// does not overtake them.
func (br *broadcaster) catchUpLocked(c *Conn) {
	e, ok := c.reception.receiving()
	if !ok {
		return
	}
	u := catchUps.Get().(*catchUp)
	defer u.release()
	br.takePendingLocked(u, c)
	sendBroadcastsLocked(c, u.list, e, true)
}

// becomeReadyLocked starts the reception of broadcasts to all sets of the connection.
func (br *broadcaster) becomeReadyLocked(c *Conn, e encoding) {
	c.reception.setEncoding(e)
	if c.reception.isClosing() {
		return
	}
	for r, q := range br.setsLocked(c) {
		q.enter(r, e)
	}
}

// enterLocked starts the reception of broadcasts to a set that the connection has joined.
// The connection does not get broadcasts that are pending in the set.
func (br *broadcaster) enterLocked(c *Conn, m *membership) {
	c.memberships.bits |= m.of.queue.bit
	if e, ok := c.reception.receiving(); ok {
		m.of.queue.enter(recipient{c, m}, e)
	}
}

// leaveLocked ends the reception of broadcasts to one of the connection's groups. Pending
// broadcasts are sent first.
func (br *broadcaster) leaveLocked(c *Conn, m *membership) {
	e, ok := c.reception.receiving()
	if !ok {
		return
	}
	u := catchUps.Get().(*catchUp)
	defer u.release()
	u.list = m.of.queue.exit(recipient{c, m}, e, u.list)
	br.takePendingLocked(u, c) // also older broadcasts to other sets
	sendBroadcastsLocked(c, u.list, e, true)
}

// endReceptionLocked ends the reception of broadcasts, because the connection closes. If
// send is true, pending broadcasts are sent. The others, and those that are made during
// this call, count as dropped.
func (br *broadcaster) endReceptionLocked(c *Conn, send bool) {
	e, ok := c.reception.receiving()
	if !ok {
		return
	}
	if send && br.behindLocked(c) {
		br.catchUpLocked(c)
	}
	u := catchUps.Get().(*catchUp)
	defer u.release()
	for r, q := range br.setsLocked(c) {
		u.list = q.exit(r, e, u.list)
	}
	for _, b := range u.list {
		if !b.awaited && b.isFor(c, e) {
			c.m.counters.Drop(counters.Closed, 1)
		}
	}
}

// sendBroadcastsLocked sends the broadcasts of the list that are for c. late means that
// another goroutine than this one delivers their batch.
func sendBroadcastsLocked(c *Conn, list []*broadcast, e encoding, late bool) {
	if len(list) <= 1 || c.m.keys != nil { // each frame of a client has its own mask
		for _, b := range list {
			sendBroadcastLocked(c, b, e, late)
		}
		return
	}
	u := catchUps.Get().(*catchUp)
	defer u.release()
	size := 0
	for _, b := range list {
		switch {
		case !b.isFor(c, e):
		case b.frames[e] == nil:
			b.dropUnsendable(c, late)
		default:
			u.sent = append(u.sent, b)
			u.frames = append(u.frames, b.frames[e])
			size += len(b.frames[e])
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
	sendJoinedLocked(c, *buf, u.frames, u.sent, late)
}

func sendBroadcastLocked(c *Conn, b *broadcast, e encoding, late bool) {
	switch {
	case !b.isFor(c, e):
	case b.frames[e] == nil:
		b.dropUnsendable(c, late)
	case c.m.keys != nil:
		buf := getFrame()
		defer putFrame(buf)
		*buf = c.m.keys.Mask(append(*buf, b.frames[e]...), 0)
		b.note(c, c.out.send(c.session(), *buf, false), late)
	default:
		b.note(c, c.out.send(c.session(), b.frames[e], true), late)
	}
}

// sendJoinedLocked sends the frames of several broadcasts. data is their concatenation.
func sendJoinedLocked(c *Conn, data []byte, frames [][]byte, list []*broadcast, late bool) {
	i := 0
	if c.life.state == stateOpen && c.out.mayWrite() {
		n, _ := c.out.tryWrite(c.session(), data) // an error changes the state
		for ; i < len(frames) && n >= len(frames[i]); i++ {
			n -= len(frames[i])
			list[i].note(c, nil, late)
		}
		c.out.traffic().MessagesOut.Add(uint64(i))
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
