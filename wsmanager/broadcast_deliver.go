package wsmanager

import (
	"cmp"
	"iter"
	"slices"
	"sync"

	"github.com/speakingtube/speakingtube/wsmanager/internal/counters"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/sender"
)

// deliver sends the batch of q, which ends with the number last, to the connections that
// are in the set now.
func (br *broadcaster) deliver(q *broadcastQueue, last uint32) {
	buf := snapshot(q.to)
	defer putSnapshot(buf)
	bf := batchFrames{batch: q.backlog.batch}
	defer bf.release()
	for _, r := range *buf {
		br.deliverTo(q, r, last, &bf)
	}
}

// deliverTo sends the part of a batch that is pending for one connection.
func (br *broadcaster) deliverTo(q *broadcastQueue, r recipient, last uint32, bf *batchFrames) {
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
		batch := bf.batch[len(bf.batch)-n:]
		var data []byte
		var frames [][]byte
		if c.m.keys == nil { // a client masks each frame with its own key
			data, frames = bf.joined(e, n)
		}
		if data != nil && !bf.excepts(c) {
			sendJoinedLocked(c, data, frames, batch, false)
		} else {
			sendBroadcastsLocked(c, batch, e, false)
		}
	}
	crowded := c.out.Crowded()
	c.mu.Unlock()
	if crowded {
		sender.YieldToWriter()
	}
}

// behindLocked reports whether broadcasts may be pending for the connection.
func (br *broadcaster) behindLocked(c *Conn) bool {
	return c.delivered != c.m.registry.queue.published.Load() ||
		c.memberships != nil && br.pending.inAny(c.memberships.bits)
}

// behindElsewhereLocked reports whether broadcasts to sets other than that of q may be
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

var pendingLists = sync.Pool{New: func() any { return new(pendingList) }}

// pendingList is scratch memory for the pending broadcasts of one connection.
type pendingList struct{ broadcasts []*broadcast }

func (p *pendingList) release() {
	clear(p.broadcasts)
	p.broadcasts = p.broadcasts[:0]
	pendingLists.Put(p)
}

var joinedSends = sync.Pool{New: func() any { return new(joinedSend) }}

// joinedSend is scratch memory of sendBroadcastsLocked.
type joinedSend struct {
	broadcasts []*broadcast // those that are sent
	frames     [][]byte     // the frame of each
}

func (j *joinedSend) release() {
	clear(j.broadcasts)
	clear(j.frames)
	j.broadcasts, j.frames = j.broadcasts[:0], j.frames[:0]
	joinedSends.Put(j)
}

// takePendingLocked adds to p the broadcasts that are pending for the connection in any of its
// sets, and sorts p by the order in which the broadcasts were published.
//
// While the queues are read, an older broadcast may be added to a queue already read and a
// newer one to a queue still to be read. Taking the newer one would reverse them, so
// broadcasts published after upTo stay pending.
func (br *broadcaster) takePendingLocked(p *pendingList, c *Conn) {
	upTo := br.order.Load()
	for r, q := range br.setsLocked(c) {
		p.broadcasts = q.take(r, upTo, p.broadcasts)
	}
	if len(p.broadcasts) > 1 {
		slices.SortFunc(p.broadcasts, func(a, b *broadcast) int { return cmp.Compare(a.order, b.order) })
	}
}

// catchUpLocked sends the pending broadcasts of the connection, so that the next message
// does not overtake them.
func (br *broadcaster) catchUpLocked(c *Conn) {
	e, ok := c.reception.receiving()
	if !ok {
		return
	}
	p := pendingLists.Get().(*pendingList)
	defer p.release()
	br.takePendingLocked(p, c)
	sendBroadcastsLocked(c, p.broadcasts, e, true)
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
	p := pendingLists.Get().(*pendingList)
	defer p.release()
	p.broadcasts = m.of.queue.exit(recipient{c, m}, e, p.broadcasts)
	br.takePendingLocked(p, c) // older broadcasts to other sets must not be overtaken
	sendBroadcastsLocked(c, p.broadcasts, e, true)
}

// endReceptionLocked ends the reception of broadcasts, because the connection closes. If
// send is true, the pending broadcasts are sent first. Those still pending then, all of them
// if send is false, count as dropped, except broadcasts whose callers wait for the result.
func (br *broadcaster) endReceptionLocked(c *Conn, send bool) {
	e, ok := c.reception.receiving()
	if !ok {
		return
	}
	if send && br.behindLocked(c) {
		br.catchUpLocked(c)
	}
	p := pendingLists.Get().(*pendingList)
	defer p.release()
	for r, q := range br.setsLocked(c) {
		p.broadcasts = q.exit(r, e, p.broadcasts)
	}
	for _, b := range p.broadcasts {
		if !b.awaited && b.isFor(c, e) {
			c.m.counters.Drop(counters.Closed, 1)
		}
	}
}

// sendBroadcastsLocked sends the broadcasts of the list that are for c. catchUp is that of
// broadcast.note.
func sendBroadcastsLocked(c *Conn, list []*broadcast, e encoding, catchUp bool) {
	if len(list) <= 1 || c.m.keys != nil { // a client masks each frame with its own key
		for _, b := range list {
			sendBroadcastLocked(c, b, e, catchUp)
		}
		return
	}
	j := joinedSends.Get().(*joinedSend)
	defer j.release()
	size := 0
	for _, b := range list {
		switch {
		case !b.isFor(c, e):
		case b.frames[e] == nil:
			b.dropUnsendable(c, catchUp)
		default:
			j.broadcasts = append(j.broadcasts, b)
			j.frames = append(j.frames, b.frames[e])
			size += len(b.frames[e])
		}
	}
	if size > maxJoined {
		for i, b := range j.broadcasts {
			b.note(c, c.out.Send(c.session(), j.frames[i], true), catchUp)
		}
		return
	}
	buf := frame.GetBuffer()
	defer frame.PutBuffer(buf)
	for _, f := range j.frames {
		*buf = append(*buf, f...)
	}
	sendJoinedLocked(c, *buf, j.frames, j.broadcasts, catchUp)
}

func sendBroadcastLocked(c *Conn, b *broadcast, e encoding, catchUp bool) {
	switch {
	case !b.isFor(c, e):
	case b.frames[e] == nil:
		b.dropUnsendable(c, catchUp)
	case c.m.keys != nil:
		buf := frame.GetBuffer()
		defer frame.PutBuffer(buf)
		*buf = c.m.keys.Mask(append(*buf, b.frames[e]...), 0)
		b.note(c, c.out.Send(c.session(), *buf, false), catchUp)
	default:
		b.note(c, c.out.Send(c.session(), b.frames[e], true), catchUp)
	}
}

// sendJoinedLocked sends the frames of several broadcasts. data is the concatenation of the
// frames.
func sendJoinedLocked(c *Conn, data []byte, frames [][]byte, list []*broadcast, catchUp bool) {
	c.out.SendJoined(c.session(), data, frames, func(i int, err error) { list[i].note(c, err, catchUp) })
}
