package wsmanager

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// broadcastQueue holds the broadcasts to one set of connections that have not been
// delivered to all of it, in order. One goroutine at a time delivers what is pending, as
// one batch: one write for each receiver. Broadcasts that are made meanwhile form the
// next batch. No lock of the queue is held during a write.
//
// Each receiver notes the number of the last broadcast that it got. Whatever else is sent
// to a connection first delivers to that connection what is pending for it: so nothing
// overtakes a broadcast, and no sender waits for deliveries to others.
type broadcastQueue struct {
	to        recipients
	bit       uint64        // in pendingSets; 0: the queue of all connections
	dialects  atomic.Uint32 // that connections of the set have or had: a dialectSet
	published atomic.Uint32 // the number of the newest broadcast; changes under mu

	mu        sync.Mutex   // guards what follows; held for moments, never during a write
	receivers []int        // by dialect: how many are ready and not closing
	counting  []*broadcast // broadcasts with exceptions that are not published yet: see membersExcepted
	flushing  bool         // a goroutine delivers
	deferred  bool         // in batcher.queues
	backlog   *backlog     // nil before the first broadcast
}

// backlog is what is pending in a broadcastQueue, whose lock guards it.
type backlog struct {
	flush    func()        // for go statements: made once, as each would allocate it anew
	log      []*broadcast  // in order; the last has the number published
	batch    []*broadcast  // the first of log, which are being delivered; belongs to the goroutine that delivers
	bytes    int           // of the frames in log, behind the batch
	room     chan struct{} // closed when the next batch begins; nil if nobody waits for that
	lastEnd  time.Duration // when the last batch was delivered; since the wheel's zero
	lastTook time.Duration // and how long that took
}

const (
	// maxPending is how many broadcasts may wait behind the batch that is being
	// delivered. Whoever broadcasts more waits for that batch.
	maxPending = 64

	// maxJoined is up to how many bytes frames are joined, and how many may wait.
	// Above it the number of writes is not the cost.
	maxJoined = 128 << 10

	// minHandover is how many receivers a set needs for a broadcast to be handed to
	// another goroutine. Below it that saves little, and the caller is told exactly what
	// became of its broadcast.
	minHandover = 8
)

// encodings returns the dialects to encode a broadcast for. Compressed ones are not among
// them if no connection that has agreed on compression is left.
func (q *broadcastQueue) encodings(m *Manager) dialectSet {
	s := dialectSet(q.dialects.Load())
	if m.deflating.Load() == 0 {
		s &^= compressedDialects
	}
	return s
}

// enter lets a connection, whose lock is held, get what is broadcast from now on.
func (q *broadcastQueue) enter(r recipient, d dialect) {
	q.dialects.Or(1 << d) // before it counts: what is not encoded for it is not for it
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.receivers) <= int(d) {
		q.receivers = append(q.receivers, 0)
	}
	q.receivers[d]++
	for _, b := range q.counting {
		if slices.Contains(b.except, r.c) {
			b.entered = append(b.entered, r)
		}
	}
	*r.delivered() = q.published.Load()
	r.setReceiving(true)
}

// exit ends that, and appends all that is pending for the connection to the list.
func (q *broadcastQueue) exit(r recipient, d dialect, list []*broadcast) []*broadcast {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !r.receiving() {
		return list
	}
	q.receivers[d]--
	r.setReceiving(false)
	return q.takeLocked(math.MaxUint64, list, r.delivered())
}

// take appends what is pending for a receiver, whose lock is held, to the list, and
// notes that it has got that: of the Manager's broadcasts up to the one numbered upTo.
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

// lockToPublish takes mu when b can be appended: there is room, and sent is how many it
// is for at that moment.
func (m *Manager) lockToPublish(q *broadcastQueue, b *broadcast) (sent Sent) {
	excepted := q.membersExcepted(b)
	q.mu.Lock()
	if q.backlog == nil {
		q.backlog = &backlog{flush: func() {
			defer m.active.done()
			m.flush(q)
		}}
	}
	for q.fullLocked() {
		m.makeRoomLocked(q)
	}
	for d, n := range q.receivers {
		if b.encoded.has(dialect(d)) {
			sent.add(b.frames[d] != nil, n)
		}
	}
	for _, r := range excepted {
		if !slices.Contains(b.entered, r) {
			b.entered = append(b.entered, r)
		}
	}
	for _, r := range b.entered {
		if d, ok := r.c.speaks(); ok && r.receiving() && b.encoded.has(d) {
			sent.add(b.frames[d] != nil, -1)
		}
	}
	if i := slices.Index(q.counting, b); i >= 0 {
		q.counting = slices.Delete(q.counting, i, i+1)
	}
	return sent
}

func (s *Sent) add(sendable bool, n int) {
	if sendable {
		s.Queued += n
	} else {
		s.Dropped += n
	}
}

// membersExcepted returns those that b is not for and that are in the set now. Finding
// them needs their locks. What enters afterwards is noted in b, so that nobody has to
// look a second time, however long b waits for room.
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
		for ship := range c.places.all() {
			if &ship.of.queue == q {
				list = append(list, recipient{c, ship})
			}
		}
		c.mu.Unlock()
	}
	return list
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

// makeRoomLocked delivers what is pending, as one batch, or waits until that becomes the
// batch that another goroutine delivers.
func (m *Manager) makeRoomLocked(q *broadcastQueue) {
	if !q.flushing {
		q.flushing = true
		q.mu.Unlock()
		if more := m.deliverBatch(q, m.wheel.Elapsed()); more {
			m.flushAside(q) // or the caller would deliver for as long as others broadcast
		}
		q.mu.Lock()
		return
	}
	l := q.backlog
	if l.room == nil {
		l.room = make(chan struct{})
	}
	room := l.room
	q.mu.Unlock()
	<-room
	q.mu.Lock()
}

// publish queues b, which it then owns, and delivers it unless another goroutine or a
// later call does: see [Sent].
func (m *Manager) publish(q *broadcastQueue, b *broadcast) Sent {
	sent := m.lockToPublish(q, b)
	start := m.wheel.Elapsed()
	switch l := q.backlog; {
	case q.receiversLocked() == 0:
		q.mu.Unlock() // it is for nobody: whoever delivers need not see it
		b.release()
		return sent
	case q.flushing:
		m.appendAndUnlock(q, b)
		return sent
	case m.batcher.defers():
		add := !q.deferred
		q.deferred = true
		m.appendAndUnlock(q, b)
		if add {
			m.batcher.add(m, q)
		}
		return sent
	case q.receiversLocked() >= minHandover && start-l.lastEnd < l.lastTook:
		// Broadcasts follow each other faster than they can be delivered one by
		// one. The caller goes on, so that its next ones can join this one.
		q.flushing = true
		m.appendAndUnlock(q, b)
		m.flushAside(q)
		return sent
	}
	q.flushing = true
	b.awaited = true
	m.appendAndUnlock(q, b)
	if more := m.deliverBatch(q, start); more {
		m.flushAside(q) // the caller has delivered its own
	}
	sent = b.result()
	b.release()
	return sent
}

// appendAndUnlock puts b, which another goroutine may then deliver and release, behind
// what is pending. Unless one does already, the caller has to see that somebody delivers.
func (m *Manager) appendAndUnlock(q *broadcastQueue, b *broadcast) {
	l := q.backlog
	if len(l.log) == 0 {
		m.pending.add(q.bit)
	}
	b.order = m.broadcastOrder.Add(1)
	l.log = append(l.log, b)
	l.bytes += b.size()
	q.published.Add(1)
	q.mu.Unlock()
}

// flushAside delivers on another goroutine until nothing is pending. The caller has set
// flushing.
func (m *Manager) flushAside(q *broadcastQueue) {
	m.active.add()
	go q.backlog.flush()
}

// flush delivers until nothing is pending. The caller has set flushing.
func (m *Manager) flush(q *broadcastQueue) {
	for more := true; more; {
		more = m.deliverBatch(q, m.wheel.Elapsed())
	}
}

// flushDeferred delivers what was deferred, unless another goroutine does already.
func (m *Manager) flushDeferred(q *broadcastQueue) {
	q.mu.Lock()
	q.deferred = false
	mine := len(q.backlog.log) > 0 && !q.flushing
	if mine {
		q.flushing = true
	}
	q.mu.Unlock()
	if mine && m.deliverBatch(q, m.wheel.Elapsed()) {
		m.flushAside(q)
	}
}

// deliverBatch delivers what is pending, as one batch that began at start. It reports
// whether there is more by now; if not, it has ended flushing.
func (m *Manager) deliverBatch(q *broadcastQueue, start time.Duration) (more bool) {
	l := q.backlog
	q.mu.Lock()
	l.batch = append(l.batch, l.log...)
	l.bytes = 0
	last := q.published.Load()
	if l.room != nil {
		close(l.room)
		l.room = nil
	}
	q.mu.Unlock()

	m.deliver(q, last)

	q.mu.Lock()
	defer q.mu.Unlock()
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
	l.lastEnd = m.wheel.Elapsed()
	l.lastTook = l.lastEnd - start
	if n == 0 {
		m.pending.remove(q.bit)
		q.flushing = false
	}
	return n > 0
}
