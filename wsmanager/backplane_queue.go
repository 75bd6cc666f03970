package wsmanager

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"time"
)

// busQueue has the envelopes that a node still has to publish, in order, and the topics that
// it has to subscribe to. Its methods do not wait, except flush.
type busQueue struct {
	maxMessages, maxBytes int
	wake                  chan struct{} // has an element if there may be work
	done                  chan struct{} // closed when the bus has ended

	mu           sync.Mutex // guards the following; no lock is taken while it is held
	closed       bool       // push fails
	publications []publication
	first        int // index of the oldest publication
	bytes        int // of all envelopes

	lastPushed uint64 // sequence of the newest publication
	lastPopped uint64 // sequence of the publication that was popped last

	wanted  map[string]struct{} // topics that the node must be subscribed to
	changed map[string]struct{} // topics that were added to or removed from wanted
	changes uint64              // number of changes of wanted
	applied uint64              // number of these changes that the bus has applied

	flushers []flusher
}

// publication is an envelope that waits to be published.
type publication struct {
	topic    string
	envelope []byte
	queuedAt time.Duration // time of the Manager's wheel
}

var (
	errQueueClosed = errors.New("wsmanager: the backplane's queue is closed")
	errQueueFull   = errors.New("wsmanager: the backplane's queue is full")
)

// flusher is a call of flush that waits.
type flusher struct {
	sequence uint64        // until this publication has been popped
	change   uint64        // and this change has been applied
	reached  chan struct{} // closed then
}

// newBusQueue makes an empty queue with limits.
func newBusQueue(maxMessages, maxBytes int) *busQueue {
	return &busQueue{
		maxMessages: maxMessages, maxBytes: maxBytes,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
		wanted: make(map[string]struct{}), changed: make(map[string]struct{}),
	}
}

// signal wakes the bus.
func (q *busQueue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// push queues a publication and writes its sequence into the envelope. It returns
// errQueueClosed or errQueueFull.
func (q *busQueue) push(p publication) error {
	q.mu.Lock()
	switch {
	case q.closed:
		q.mu.Unlock()
		return errQueueClosed
	case len(q.publications)-q.first >= q.maxMessages, len(p.envelope) > q.maxBytes-q.bytes:
		q.mu.Unlock()
		return errQueueFull
	}
	q.lastPushed++
	binary.BigEndian.PutUint64(p.envelope[envelopeSequence:], q.lastPushed)
	q.publications = append(q.publications, p)
	q.bytes += len(p.envelope)
	q.mu.Unlock()
	q.signal()
	return nil
}

// peek returns the oldest publication and does not remove it.
func (q *busQueue) peek() (publication, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.first == len(q.publications) {
		return publication{}, false
	}
	return q.publications[q.first], true
}

// pop removes the oldest publication.
func (q *busQueue) pop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := &q.publications[q.first]
	q.bytes -= len(p.envelope)
	q.lastPopped = binary.BigEndian.Uint64(p.envelope[envelopeSequence:])
	*p = publication{}
	q.first++
	switch {
	case q.first == len(q.publications):
		q.publications, q.first = q.publications[:0], 0
		if cap(q.publications) > 1024 {
			q.publications = nil // it has grown in an outage
		}
	case q.first > 64 && q.first > len(q.publications)/2:
		n := copy(q.publications, q.publications[q.first:])
		clear(q.publications[n:])
		q.publications, q.first = q.publications[:n], 0
	}
	q.notifyFlushersLocked()
}

// len returns the number of publications.
func (q *busQueue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.publications) - q.first
}

// setSubscribed requests that the node is subscribed to a topic, or is not.
func (q *busQueue) setSubscribed(topic string, on bool) {
	q.mu.Lock()
	if on {
		q.wanted[topic] = struct{}{}
	} else {
		delete(q.wanted, topic)
	}
	q.changed[topic] = struct{}{}
	q.changes++
	q.mu.Unlock()
	q.signal()
}

// resubscribe requests all subscriptions again, for a new link.
func (q *busQueue) resubscribe() {
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.changed)
	for topic := range q.wanted {
		q.changed[topic] = struct{}{}
	}
	q.applied = 0
}

// compact drops changes that were reverted, given the topics that are subscribed to. During an
// outage the changes are not applied and would accumulate.
func (q *busQueue) compact(subscribed map[string]struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for topic := range q.changed {
		_, is := subscribed[topic]
		if _, should := q.wanted[topic]; should == is {
			delete(q.changed, topic)
		}
	}
}

// takeChanges removes the changes from the queue. It returns the topics to subscribe to and to
// unsubscribe from, given those that are subscribed to, and the number of the last change.
func (q *busQueue) takeChanges(subscribed map[string]struct{}) (add, remove []string, change uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for topic := range q.changed {
		_, is := subscribed[topic]
		switch _, should := q.wanted[topic]; {
		case should && !is:
			add = append(add, topic)
		case is && !should:
			remove = append(remove, topic)
		}
	}
	clear(q.changed)
	return add, remove, q.changes
}

// requeue puts changes back that the bus has failed to apply.
func (q *busQueue) requeue(topics []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, topic := range topics {
		q.changed[topic] = struct{}{}
	}
}

// apply notes that the bus has applied all changes up to one.
func (q *busQueue) apply(change uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.applied = change
	q.notifyFlushersLocked()
}

// notifyFlushersLocked ends the calls of flush that have reached their state.
func (q *busQueue) notifyFlushersLocked() {
	waiting := q.flushers[:0]
	for _, f := range q.flushers {
		if f.sequence <= q.lastPopped && f.change <= q.applied {
			close(f.reached)
		} else {
			waiting = append(waiting, f)
		}
	}
	clear(q.flushers[len(waiting):])
	q.flushers = waiting
}

// flush waits until the present publications have been popped and the present changes have
// been applied.
func (q *busQueue) flush(ctx context.Context) error {
	f := flusher{reached: make(chan struct{})}
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return ErrBackplane
	}
	f.sequence, f.change = q.lastPushed, q.changes
	q.flushers = append(q.flushers, f)
	q.notifyFlushersLocked()
	q.mu.Unlock()
	select {
	case <-f.reached:
		return nil
	case <-ctx.Done():
		q.removeFlusher(f.reached)
		return context.Cause(ctx)
	case <-q.done:
		return ErrBackplane
	}
}

// removeFlusher removes a call of flush that was given up.
func (q *busQueue) removeFlusher(reached chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, f := range q.flushers {
		if f.reached == reached {
			q.flushers[i] = q.flushers[len(q.flushers)-1]
			q.flushers = q.flushers[:len(q.flushers)-1]
			return
		}
	}
}

// close makes push fail.
func (q *busQueue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
}
