package wsmanager

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"time"
)

// busQueue is what a node has to tell its bus: envelopes in order, and which topics it
// wants. It never waits.
type busQueue struct {
	maxMessages, maxBytes int
	wake                  chan struct{} // has an element if there may be something new
	done                  chan struct{} // closed when nobody takes anything out any more

	mu      sync.Mutex // guards what follows; the last of all locks to be taken
	closed  bool       // takes nothing more
	parcels []parcel
	first   int // index of the oldest
	bytes   int

	queued, left uint64 // sequences of the last that came in, and of the last that went

	wanted           map[string]struct{} // topics
	dirty            map[string]struct{} // topics whose place in wanted has changed
	changes, applied uint64              // of wanted; as the bus knows it

	flushers []flusher
}

// parcel is an envelope on its way to the bus.
type parcel struct {
	topic    string
	envelope []byte
	since    time.Duration // as the wheel has it
}

var (
	errQueueClosed = errors.New("wsmanager: the backplane's queue is closed")
	errQueueFull   = errors.New("wsmanager: the backplane's queue is full")
)

// flusher waits for the bus to know what it was to be told so far.
type flusher struct {
	sequence, change uint64
	known            chan struct{}
}

func newBusQueue(maxMessages, maxBytes int) *busQueue {
	return &busQueue{
		maxMessages: maxMessages, maxBytes: maxBytes,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
		wanted: make(map[string]struct{}), dirty: make(map[string]struct{}),
	}
}

func (q *busQueue) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// push queues an envelope and gives it its sequence, if there is room.
func (q *busQueue) push(p parcel) error {
	q.mu.Lock()
	switch {
	case q.closed:
		q.mu.Unlock()
		return errQueueClosed
	case len(q.parcels)-q.first >= q.maxMessages, len(p.envelope) > q.maxBytes-q.bytes:
		q.mu.Unlock()
		return errQueueFull
	}
	q.queued++
	binary.BigEndian.PutUint64(p.envelope[envelopeSequence:], q.queued)
	q.parcels = append(q.parcels, p)
	q.bytes += len(p.envelope)
	q.mu.Unlock()
	q.nudge()
	return nil
}

// front returns the oldest parcel, which stays where it is.
func (q *busQueue) front() (parcel, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.first == len(q.parcels) {
		return parcel{}, false
	}
	return q.parcels[q.first], true
}

// pop takes the oldest parcel out.
func (q *busQueue) pop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := &q.parcels[q.first]
	q.bytes -= len(p.envelope)
	q.left = binary.BigEndian.Uint64(p.envelope[envelopeSequence:])
	*p = parcel{}
	q.first++
	switch {
	case q.first == len(q.parcels):
		q.parcels, q.first = q.parcels[:0], 0
		if cap(q.parcels) > 1024 {
			q.parcels = nil // grown in an outage
		}
	case q.first > 64 && q.first > len(q.parcels)/2:
		n := copy(q.parcels, q.parcels[q.first:])
		clear(q.parcels[n:])
		q.parcels, q.first = q.parcels[:n], 0
	}
	q.tellLocked()
}

func (q *busQueue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.parcels) - q.first
}

// want says whether the node wants a topic.
func (q *busQueue) want(topic string, on bool) {
	q.mu.Lock()
	if on {
		q.wanted[topic] = struct{}{}
	} else {
		delete(q.wanted, topic)
	}
	q.dirty[topic] = struct{}{}
	q.changes++
	q.mu.Unlock()
	q.nudge()
}

// allDirty is for a link that knows of no topic.
func (q *busQueue) allDirty() {
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.dirty)
	for topic := range q.wanted {
		q.dirty[topic] = struct{}{}
	}
	q.applied = 0
}

// tidy forgets the topics whose place has changed back, of which the bus need not be
// told: for an outage, in which nothing takes them out.
func (q *busQueue) tidy(subscribed map[string]struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for topic := range q.dirty {
		_, is := subscribed[topic]
		if _, should := q.wanted[topic]; should == is {
			delete(q.dirty, topic)
		}
	}
}

// changed takes out the topics to be subscribed to and to be left, given those that are
// subscribed to, and says up to which change that is.
func (q *busQueue) changed(subscribed map[string]struct{}) (add, remove []string, change uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for topic := range q.dirty {
		_, is := subscribed[topic]
		switch _, should := q.wanted[topic]; {
		case should && !is:
			add = append(add, topic)
		case is && !should:
			remove = append(remove, topic)
		}
	}
	clear(q.dirty)
	return add, remove, q.changes
}

// again puts topics back that the bus could not be told of.
func (q *busQueue) again(topics []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, topic := range topics {
		q.dirty[topic] = struct{}{}
	}
}

// apply notes that the bus knows the topics as they were at a change.
func (q *busQueue) apply(change uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.applied = change
	q.tellLocked()
}

// tellLocked tells those who wait for what has happened.
func (q *busQueue) tellLocked() {
	left := q.flushers[:0]
	for _, f := range q.flushers {
		if f.sequence <= q.left && f.change <= q.applied {
			close(f.known)
		} else {
			left = append(left, f)
		}
	}
	clear(q.flushers[len(left):])
	q.flushers = left
}

// flush waits until the bus knows what it is to know now.
func (q *busQueue) flush(ctx context.Context) error {
	f := flusher{known: make(chan struct{})}
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return ErrBackplane
	}
	f.sequence, f.change = q.queued, q.changes
	q.flushers = append(q.flushers, f)
	q.tellLocked()
	q.mu.Unlock()
	select {
	case <-f.known:
		return nil
	case <-ctx.Done():
		q.forget(f.known)
		return context.Cause(ctx)
	case <-q.done:
		return ErrBackplane
	}
}

func (q *busQueue) forget(known chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, f := range q.flushers {
		if f.known == known {
			q.flushers[i] = q.flushers[len(q.flushers)-1]
			q.flushers = q.flushers[:len(q.flushers)-1]
			return
		}
	}
}

// close makes the queue take nothing more.
func (q *busQueue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.nudge()
}
