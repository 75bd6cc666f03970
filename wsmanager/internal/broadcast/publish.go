package broadcast

import "time"

// Publish adds b to the queue, and delivers the queue's broadcasts unless another goroutine or
// a later call delivers them. In these cases the result counts all receivers as Queued, or as
// Dropped if their encoding failed. The caller must not use b afterwards.
func (br *Broadcaster[C]) Publish(q *Queue[C], b *Broadcast[C]) Result {
	sent := br.lockForRoom(q, b)
	start := br.clock.Elapsed()
	switch l := q.backlog; {
	case q.receiversLocked() == 0:
		q.mu.Unlock()
		b.release()
		return sent
	case q.flushing:
		br.appendAndUnlock(q, b)
		return sent
	case br.batcher.defers():
		add := !q.deferred
		q.deferred = true
		br.appendAndUnlock(q, b)
		if add {
			br.batcher.add(q, br.MaxDefer)
		}
		return sent
	case q.receiversLocked() >= MinHandover && start-l.lastEnd < l.lastTook:
		// Broadcasts follow each other faster than each can be delivered alone. The
		// caller does not wait for the delivery, so that its next broadcasts are
		// delivered together.
		q.flushing = true
		br.appendAndUnlock(q, b)
		br.flushAside(q)
		return sent
	}
	q.flushing = true
	b.awaited = true
	br.appendAndUnlock(q, b)
	if more := br.deliverBatch(q, start); more {
		br.flushAside(q) // the caller has delivered b, and leaves later broadcasts to another goroutine
	}
	sent = b.result()
	b.release()
	return sent
}

// lockForRoom waits until q has room for a broadcast, and returns with q.mu locked. The result
// is how many connections b is for at that moment.
func (br *Broadcaster[C]) lockForRoom(q *Queue[C], b *Broadcast[C]) Result {
	excepted := br.membersExcepted(q, b)
	q.mu.Lock()
	if q.backlog == nil {
		q.backlog = &backlog[C]{flush: func() {
			defer br.active.Done()
			br.flush(q)
		}}
	}
	for q.fullLocked() {
		br.makeRoomLocked(q)
	}
	return q.countLocked(b, excepted)
}

// makeRoomLocked delivers the pending broadcasts as one batch, or waits until another
// goroutine begins to deliver them. It releases q.mu for that time.
func (br *Broadcaster[C]) makeRoomLocked(q *Queue[C]) {
	if !q.flushing {
		q.flushing = true
		q.mu.Unlock()
		if more := br.deliverBatch(q, br.clock.Elapsed()); more {
			br.flushAside(q) // otherwise the caller would deliver as long as other goroutines broadcast
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

// appendAndUnlock appends b to the pending broadcasts. Another goroutine may then deliver b
// and, unless b is awaited, release it. If no goroutine delivers, the caller has to start the
// delivery.
func (br *Broadcaster[C]) appendAndUnlock(q *Queue[C], b *Broadcast[C]) {
	l := q.backlog
	if len(l.log) == 0 {
		br.pending.add(q.bit)
	}
	b.order = br.order.Add(1)
	l.log = append(l.log, b)
	l.bytes += b.size()
	q.published.Add(1)
	q.mu.Unlock()
}

// flushAside starts a goroutine that delivers until nothing is pending. The caller has set
// flushing.
func (br *Broadcaster[C]) flushAside(q *Queue[C]) {
	br.active.Add()
	go q.backlog.flush()
}

// flush delivers until nothing is pending. The caller has set flushing.
func (br *Broadcaster[C]) flush(q *Queue[C]) {
	for more := true; more; {
		more = br.deliverBatch(q, br.clock.Elapsed())
	}
}

// flushQueue delivers the deferred broadcasts of q, unless another goroutine delivers
// them.
func (br *Broadcaster[C]) flushQueue(q *Queue[C]) {
	q.mu.Lock()
	q.deferred = false
	mine := len(q.backlog.log) > 0 && !q.flushing
	if mine {
		q.flushing = true
	}
	q.mu.Unlock()
	if mine && br.deliverBatch(q, br.clock.Elapsed()) {
		br.flushAside(q)
	}
}

// deliverBatch delivers the pending broadcasts as one batch that began at start. The caller
// has set flushing. deliverBatch reports whether more broadcasts are pending afterwards; if
// not, it has cleared flushing.
func (br *Broadcaster[C]) deliverBatch(q *Queue[C], start time.Duration) (more bool) {
	br.deliver(q, q.beginBatch())

	q.mu.Lock()
	defer q.mu.Unlock()
	if q.endBatchLocked(start, br.clock.Elapsed()) > 0 {
		return true
	}
	br.pending.remove(q.bit)
	q.flushing = false
	return false
}
