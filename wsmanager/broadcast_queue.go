package wsmanager

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// broadcastQueue has the broadcasts to one set of connections that are not delivered to
// all of it yet, in order. One goroutine at a time delivers the pending broadcasts as one
// batch: one write for each receiver. Broadcasts that are made meanwhile form the next
// batch. (This is flat combining.) No lock of the queue is held during a write.
//
// Each receiver has the number of the last broadcast that it got. Every other send to a
// connection first delivers the broadcasts that are pending for this connection. So no
// message overtakes a broadcast, and no sender waits for deliveries to other connections.
type broadcastQueue struct {
	to        recipients
	bit       uint64        // in pendingSets; 0 for the queue of all connections
	encodings atomic.Uint32 // an encodingSet: those that connections of the set have or had
	published atomic.Uint32 // the number of the newest broadcast; changes under mu

	mu        sync.Mutex   // guards the fields below; held for moments, never during a write
	receivers []int        // for each encoding, the number of connections that receive
	counting  []*broadcast // broadcasts with exceptions that are not published yet: see membersExcepted
	flushing  bool         // a goroutine delivers
	deferred  bool         // the queue is in batcher.queues
	backlog   *backlog     // nil before the first broadcast
}

// backlog has the pending broadcasts of a broadcastQueue, whose lock guards it.
type backlog struct {
	flush    func()        // for go statements, which would allocate a closure each time
	log      []*broadcast  // in order; the last one has the number published
	batch    []*broadcast  // the first ones of log, which are being delivered; belongs to the goroutine that delivers
	bytes    int           // of the frames in log behind the batch
	room     chan struct{} // closed when the next batch begins; nil if no goroutine waits for that
	lastEnd  time.Duration // when the last batch was delivered, in the clock's elapsed time
	lastTook time.Duration // how long the delivery of the last batch took
}

const (
	// maxPending is how many broadcasts may wait behind the batch that is being
	// delivered. Further broadcasts wait for that batch.
	maxPending = 64

	// maxJoined is the largest size of concatenated frames, and of the frames that
	// wait, in bytes. Above it the number of writes is not the main cost.
	maxJoined = 128 << 10

	// minHandover is how many receivers a set needs for a broadcast to be handed to
	// another goroutine. With fewer receivers that saves little, and the caller gets the
	// exact result.
	minHandover = 8
)

// enter makes the connection of r, whose lock is held, a receiver of the broadcasts that
// are made from now on.
func (q *broadcastQueue) enter(r recipient, e encoding) {
	q.encodings.Or(1 << e) // before it counts: it does not get broadcasts without its encoding
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.receivers) <= int(e) {
		q.receivers = append(q.receivers, 0)
	}
	q.receivers[e]++
	for _, b := range q.counting {
		if slices.Contains(b.except, r.c) {
			b.entered = append(b.entered, r)
		}
	}
	*r.delivered() = q.published.Load()
	r.setReceiving(true)
}

// exit ends what enter has begun. It takes the broadcasts that are pending for the
// connection and appends them to list.
func (q *broadcastQueue) exit(r recipient, e encoding, list []*broadcast) []*broadcast {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !r.receiving() {
		return list
	}
	q.receivers[e]--
	r.setReceiving(false)
	return q.takeLocked(math.MaxUint64, list, r.delivered())
}

// take takes the broadcasts that are pending for a receiver, whose lock is held, and
// appends them to list. It leaves those with an order above upTo.
func (q *broadcastQueue) take(r recipient, upTo uint64, list []*broadcast) []*broadcast {
	if !r.receiving() || q.published.Load() == *r.delivered() {
		return list
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.takeLocked(upTo, list, r.delivered())
}

func (q *broadcastQueue) takeLocked(upTo uint64, list []*broadcast, delivered *uint32) []*broadcast {
	n := int(q.published.Load() - *delivered)
	if n == 0 {
		return list
	}
	log := q.backlog.log
	for _, b := range log[len(log)-n:] {
		if b.order > upTo {
			break
		}
		*delivered++
		list = append(list, b)
	}
	return list
}

// countLocked returns how many connections b is for. excepted are the members that
// membersExcepted has found.
func (q *broadcastQueue) countLocked(b *broadcast, excepted []recipient) (sent Sent) {
	for e, n := range q.receivers {
		if b.encoded.has(encoding(e)) {
			sent.add(b.frames[e] != nil, n)
		}
	}
	early := b.entered // those that entered meanwhile; excepted has no duplicates
	for _, r := range excepted {
		if !slices.Contains(early, r) {
			b.entered = append(b.entered, r)
		}
	}
	for _, r := range b.entered {
		if e, ok := r.c.reception.encoding(); ok && r.receiving() && b.encoded.has(e) {
			sent.add(b.frames[e] != nil, -1)
		}
	}
	if i := slices.Index(q.counting, b); i >= 0 {
		q.counting = slices.Delete(q.counting, i, i+1)
	}
	return sent
}

// membersExcepted returns the members of the set that b is not for. To find them it locks
// the connections. Connections that enter later are noted in b, so that one search is
// enough, however long b waits for room.
func (q *broadcastQueue) membersExcepted(b *broadcast) (list []recipient) {
	switch {
	case len(b.except) == 0:
		return nil
	case q.bit == 0:
		for _, c := range b.except {
			list = append(list, recipient{c: c})
		}
		return list
	}
	q.mu.Lock()
	q.counting = append(q.counting, b)
	q.mu.Unlock()
	for _, c := range b.except {
		c.mu.Lock()
		for m := range c.memberships.all() {
			if &m.of.queue == q {
				list = append(list, recipient{c, m})
			}
		}
		c.mu.Unlock()
	}
	return list
}

// has reports whether a connection with the encoding receives.
func (q *broadcastQueue) has(e encoding) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return int(e) < len(q.receivers) && q.receivers[e] > 0
}

func (q *broadcastQueue) receiversLocked() (all int) {
	for _, n := range q.receivers {
		all += n
	}
	return all
}

func (q *broadcastQueue) fullLocked() bool {
	l := q.backlog
	return len(l.log)-len(l.batch) >= maxPending || l.bytes > maxJoined
}

// beginBatch makes the pending broadcasts the batch that is delivered. It returns the
// number of the last one.
func (q *broadcastQueue) beginBatch() (last uint32) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.backlog
	l.batch = append(l.batch, l.log...)
	l.bytes = 0
	if l.room != nil {
		close(l.room)
		l.room = nil
	}
	return q.published.Load()
}

// endBatchLocked removes the delivered batch, and returns how many broadcasts are pending.
func (q *broadcastQueue) endBatchLocked(start, end time.Duration) (pending int) {
	l := q.backlog
	n := copy(l.log, l.log[len(l.batch):])
	clear(l.log[n:])
	l.log = l.log[:n]
	for _, b := range l.batch {
		if !b.awaited {
			b.release()
		}
	}
	clear(l.batch)
	l.batch = l.batch[:0]
	l.lastEnd = end
	l.lastTook = end - start
	return n
}
