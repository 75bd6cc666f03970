package broadcast

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Queue has the pending broadcasts to one set of connections, in order: those whose
// delivery has not ended. One goroutine at a time delivers the pending broadcasts as one
// batch: one write for each receiver. Broadcasts that are published during the delivery form
// the next batch. (This is flat combining.) The queue's lock is not held during a write.
//
// Each receiver has the number of the last broadcast that was sent to it. Every other send to
// a connection first sends the broadcasts that are pending for that connection. So no message
// overtakes a broadcast, and no sender waits for deliveries to other connections.
type Queue[C comparable] struct {
	Set       Set[C]        // must be set before the first broadcast
	bit       uint64        // in pendingSets; 0 for the queue of all connections
	encodings atomic.Uint32 // an EncodingSet: the encodings that receivers have or had
	published atomic.Uint32 // the number of the newest broadcast; changes under mu

	mu        sync.Mutex      // guards the fields below; held for moments, never during a write
	receivers []int           // for each encoding, the number of receivers
	counting  []*Broadcast[C] // broadcasts with exceptions that are not published yet: see membersExcepted
	flushing  bool            // a goroutine delivers, or is about to
	deferred  bool            // the queue is in batcher.queues
	backlog   *backlog[C]     // nil before the first broadcast
}

// backlog has the pending broadcasts of a Queue, whose lock guards it.
type backlog[C comparable] struct {
	flush func()          // for go statements, which would allocate a closure each time
	log   []*Broadcast[C] // the pending broadcasts, in order; published is the number of the last one

	// batch has the first broadcasts of log, which are being delivered. Only the goroutine
	// that delivers changes it, so that goroutine reads it without the lock.
	batch []*Broadcast[C]

	bytes    int           // of the frames of the broadcasts in log that follow the batch
	room     chan struct{} // closed when the next batch begins; nil if no goroutine waits for room
	lastEnd  time.Duration // when the last batch was delivered, in the clock's elapsed time
	lastTook time.Duration // how long the delivery of the last batch took
}

const (
	// MaxPending is how many broadcasts may follow the batch that is being delivered. The
	// caller of a further broadcast waits until that batch has been delivered.
	MaxPending = 64

	// MaxJoined is the largest size of concatenated frames in bytes. Above this size the
	// number of writes is not the main cost. A queue is also full if the frames that follow
	// the batch are larger.
	MaxJoined = 128 << 10

	// MinHandover is how many receivers a set needs for a broadcast to be handed to
	// another goroutine. With fewer receivers the handover saves little, and a caller that
	// delivers gets the exact result.
	MinHandover = 8
)

// enter makes the connection c at p, whose lock is held, a receiver of the broadcasts that are
// published from now on.
func (q *Queue[C]) enter(c C, p place[C], e Encoding) {
	q.encodings.Or(1 << e) // first, so that the connection misses only broadcasts that are encoded already
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.receivers) <= int(e) {
		q.receivers = append(q.receivers, 0)
	}
	q.receivers[e]++
	for _, b := range q.counting {
		if slices.Contains(b.except, c) {
			b.exceptedMembers = append(b.exceptedMembers, p)
		}
	}
	*p.delivered() = q.published.Load()
	p.setReceiving(true)
}

// exit ends the reception that enter has started. It takes the broadcasts that are pending
// for the connection at p, whose lock is held, and appends them to list.
func (q *Queue[C]) exit(p place[C], e Encoding, list []*Broadcast[C]) []*Broadcast[C] {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !p.receiving() {
		return list
	}
	q.receivers[e]--
	p.setReceiving(false)
	return q.takeLocked(math.MaxUint64, list, p.delivered())
}

// take takes the broadcasts that are pending for the connection at p, whose lock is held, and
// appends them to list. The caller must send them. Broadcasts with an order above upTo stay
// pending.
func (q *Queue[C]) take(p place[C], upTo uint64, list []*Broadcast[C]) []*Broadcast[C] {
	if !p.receiving() || q.published.Load() == *p.delivered() {
		return list
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.takeLocked(upTo, list, p.delivered())
}

func (q *Queue[C]) takeLocked(upTo uint64, list []*Broadcast[C], delivered *uint32) []*Broadcast[C] {
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

// countLocked returns how many receivers b is for: as Queued, or as Dropped if their encoding
// failed. excepted are the members that membersExcepted has found.
func (q *Queue[C]) countLocked(b *Broadcast[C], excepted []place[C]) (sent Result) {
	for e, n := range q.receivers {
		if b.encoded.Has(Encoding(e)) {
			sent.add(b.frames[e] != nil, n)
		}
	}
	early := b.exceptedMembers // those that have entered meanwhile; excepted has no duplicates
	for _, p := range excepted {
		if !slices.Contains(early, p) {
			b.exceptedMembers = append(b.exceptedMembers, p)
		}
	}
	for _, p := range b.exceptedMembers {
		if e, ok := p.r.Encoding(); ok && p.receiving() && b.encoded.Has(e) {
			sent.add(b.frames[e] != nil, -1)
		}
	}
	if i := slices.Index(q.counting, b); i >= 0 {
		q.counting = slices.Delete(q.counting, i, i+1)
	}
	return sent
}

// membersExcepted returns the members of the set that b.except names. The search locks the
// connections of b.except. If one of them enters the set later, enter adds it to
// b.exceptedMembers, so one search is enough, however long b waits for room.
func (br *Broadcaster[C]) membersExcepted(q *Queue[C], b *Broadcast[C]) (list []place[C]) {
	switch {
	case len(b.except) == 0:
		return nil
	case q.bit == 0:
		for _, c := range b.except {
			list = append(list, place[C]{r: c.Reception()})
		}
		return list
	}
	q.mu.Lock()
	q.counting = append(q.counting, b)
	q.mu.Unlock()
	for _, c := range b.except {
		c.Lock()
		r := c.Reception()
		for m := range r.memberships() {
			if &m.of.Queue == q {
				list = append(list, place[C]{r, m})
			}
		}
		c.Unlock()
	}
	return list
}

// Has reports whether a connection with the encoding receives.
func (q *Queue[C]) Has(e Encoding) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return int(e) < len(q.receivers) && q.receivers[e] > 0
}

func (q *Queue[C]) receiversLocked() (all int) {
	for _, n := range q.receivers {
		all += n
	}
	return all
}

func (q *Queue[C]) fullLocked() bool {
	l := q.backlog
	return len(l.log)-len(l.batch) >= MaxPending || l.bytes > MaxJoined
}

// beginBatch makes the pending broadcasts the batch that is delivered. It returns the number
// of the last broadcast in the batch.
func (q *Queue[C]) beginBatch() (last uint32) {
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
func (q *Queue[C]) endBatchLocked(start, end time.Duration) (pending int) {
	l := q.backlog
	n := copy(l.log, l.log[len(l.batch):])
	clear(l.log[n:])
	l.log = l.log[:n]
	for _, b := range l.batch {
		if !b.awaited { // otherwise its caller releases it
			b.release()
		}
	}
	clear(l.batch)
	l.batch = l.batch[:0]
	l.lastEnd = end
	l.lastTook = end - start
	return n
}

// QueueState is the state of a queue at one moment.
type QueueState struct {
	Pending    int  // broadcasts whose delivery has not ended, those of the batch included
	Bytes      int  // of the frames of the broadcasts that follow the batch
	Batch      int  // broadcasts in the batch that is being delivered
	Counting   int  // broadcasts with exceptions that are not published yet
	Delivering bool // a goroutine delivers, or is about to
	Waiting    bool // a goroutine waits for room
}

// State returns the present state, for tests.
func (q *Queue[C]) State() QueueState {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := QueueState{Counting: len(q.counting), Delivering: q.flushing}
	if l := q.backlog; l != nil {
		s.Pending, s.Bytes, s.Batch, s.Waiting = len(l.log), l.bytes, len(l.batch), l.room != nil
	}
	return s
}
