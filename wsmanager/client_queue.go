package wsmanager

import (
	"context"
	"slices"
	"sync"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/counters"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
)

// clientQueue has the messages that were sent with a Client and are not written, in order.
// Messages that were sent on the present connection are in its outbox too.
type clientQueue struct {
	m          *Manager
	contextual chan struct{} // semaphore: one SendContext waits for room, the others for it

	// order is held while a message is queued and sent. It is taken before the lock of a
	// connection, and guards session.
	order   sync.Mutex
	session *session // of the present connection; nil if there is none

	mu         sync.Mutex // guards the following; taken after the lock of a connection
	messages   []*queuedMessage
	lastNumber uint64 // of the newest message that was queued
	bytes      int    // of the frames
	closed     bool
	changed    chan struct{} // closed with the next change; nil if no goroutine waits for it
}

// queuedMessage is a message that has not been written.
type queuedMessage struct {
	trackedMessage
	number uint64        // from 1
	token  trackingToken // nil if the message is in no outbox
}

// init sets the Manager of the connections.
func (q *clientQueue) init(m *Manager) {
	q.m, q.contextual = m, make(chan struct{}, 1)
	m.onWritten(q.written)
}

// encode makes the frame of a message, without a mask.
func (q *clientQueue) encode(msg Message) (*[]byte, error) {
	msg, err := outgoing(q.m, msg)
	if err != nil {
		return nil, err
	}
	buf := getFrame()
	*buf = frame.Append(*buf, ws.OpCode(msg.Type), msg.Payload)
	return buf, nil
}

// send queues a message if there is room.
func (q *clientQueue) send(m trackedMessage) error {
	q.order.Lock()
	defer q.order.Unlock()
	messages, bytes, closed := q.load()
	limit := q.m.opts.OutboxMessages
	switch {
	case closed:
		return ErrClosed
	case len(m.frame) > q.m.opts.OutboxBytes-bytes,
		messages >= limit && !(messages < queueBurstFactor*limit && q.session != nil && q.session.conn().writerAdvances()):
		q.m.counters.Drop(counters.OutboxFull, 1)
		return ErrOutboxFull
	}
	q.push(m)
	return nil
}

// load returns the number and the bytes of the messages.
func (q *clientQueue) load() (messages, bytes int, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.messages), q.bytes, q.closed
}

// push sends a message on the present connection, and queues it if it has not been written
// completely. The caller holds order.
func (q *clientQueue) push(m trackedMessage) {
	add := func(token trackingToken) {
		if m.prepared == nil {
			m.frame = slices.Clone(m.frame) // it is the buffer of the send
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		q.lastNumber++
		q.messages = append(q.messages, &queuedMessage{m, q.lastNumber, token})
		q.bytes += len(m.frame)
	}
	if q.session == nil || q.session.sendTracked(m, add) != nil {
		add(nil)
	}
}

// attach sends the queued messages on a new connection. Later messages are sent on it too.
func (q *clientQueue) attach(c *Conn) {
	q.order.Lock()
	defer q.order.Unlock()
	q.session = c.session()
	q.mu.Lock()
	messages := slices.Clone(q.messages)
	q.mu.Unlock()
	for _, m := range messages {
		written := true
		err := q.session.sendTracked(m.trackedMessage, func(token trackingToken) {
			written = false
			q.mu.Lock()
			defer q.mu.Unlock()
			m.token = token
		})
		switch {
		case err != nil:
			return // the other messages are for the next connection
		case written:
			q.mu.Lock()
			q.removeLocked(m)
			q.mu.Unlock()
		}
	}
}

// detach makes later messages wait for the next connection.
func (q *clientQueue) detach() {
	q.order.Lock()
	defer q.order.Unlock()
	q.session = nil
}

// written is called with the token of each queued message that was written, with the
// connection's lock held. Messages of a Conn have tokens that are not in the queue.
func (q *clientQueue) written(token trackingToken) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range q.messages { // it is the first one, if it is in the queue
		if m.token == nil {
			return
		}
		if m.token == token {
			q.removeLocked(m)
			return
		}
	}
}

func (q *clientQueue) removeLocked(m *queuedMessage) {
	i := slices.Index(q.messages, m)
	if i < 0 {
		return
	}
	if i == 0 { // the usual case, without moving the others
		q.messages[0] = nil
		q.messages = q.messages[1:]
	} else {
		q.messages = slices.Delete(q.messages, i, i+1)
	}
	q.bytes -= len(m.frame)
	q.notifyLocked()
}

// notifyLocked wakes the goroutines that wait for a change.
func (q *clientQueue) notifyLocked() {
	if q.changed != nil {
		close(q.changed)
		q.changed = nil
	}
}

// close makes sends fail. Messages in the outbox of the connection can still be written.
func (q *clientQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.notifyLocked()
}

// nextChangeLocked returns a channel that is closed with the next change.
func (q *clientQueue) nextChangeLocked() <-chan struct{} {
	if q.changed == nil {
		q.changed = make(chan struct{})
	}
	return q.changed
}

// sendContext queues a message when the queue is at most half full with it. Sends that wait are
// served in order.
func (q *clientQueue) sendContext(ctx context.Context, m trackedMessage) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case q.contextual <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-q.contextual }()
	for {
		changed, err := q.tryContext(m)
		if changed == nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// tryContext queues a message, or returns the channel of the next change.
func (q *clientQueue) tryContext(m trackedMessage) (changed <-chan struct{}, err error) {
	q.order.Lock()
	defer q.order.Unlock()
	q.mu.Lock()
	switch n := len(q.messages); {
	case q.closed:
		err = ErrClosed
	case n > 0 && (n >= q.m.opts.OutboxMessages/2 || len(m.frame) > q.m.opts.OutboxBytes/2-q.bytes):
		changed = q.nextChangeLocked()
	}
	q.mu.Unlock()
	if changed == nil && err == nil {
		q.push(m)
	}
	return changed, err
}

// flush waits until the present messages have been written.
func (q *clientQueue) flush(ctx context.Context) error {
	q.mu.Lock()
	last := q.lastNumber
	q.mu.Unlock()
	for {
		q.mu.Lock()
		written := len(q.messages) == 0 || q.messages[0].number > last
		closed, changed := q.closed, q.nextChangeLocked()
		q.mu.Unlock()
		switch {
		case written:
			return nil
		case closed:
			return ErrClosed
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
