package clientqueue

import (
	"slices"
	"sync"

	"github.com/speakingtube/speakingtube/wsmanager/internal/counters"
	"github.com/speakingtube/speakingtube/wsmanager/internal/sender"
)

// Message is a message as the application has sent it. Each connection compresses and masks it
// anew.
type Message struct {
	Frame  []byte // neither compressed nor masked
	Source any    // the owner of Frame; nil if the frame is only valid during the call
	Plain  bool   // it is not compressed
}

// Token identifies a message in the outbox of its connection.
type Token *byte

// TokenOf returns the token of a frame in an outbox.
func TokenOf(frame []byte) Token { return &frame[0] }

// Conn is a connection as a Queue sees it.
type Conn interface {
	// SendTracked writes the message of d, or queues it without limits. If a part of the
	// message is still to be written, it calls d.Queued with the message's token while it
	// holds the lock under which it will call Written. After an error the connection has
	// ended, and at most a part of the message has been written.
	SendTracked(d Delivery) error

	// WriterAdvances reports whether the connection is open and has a blocking write in
	// progress that is not stuck.
	WriterAdvances() bool
}

// Delivery is one message on its way to a connection.
type Delivery struct {
	Message
	queue *Queue
	entry *entry // of the message in the queue; nil if the message is new
}

// Queued notes that the message is in the outbox of the connection.
func (d *Delivery) Queued(token Token) {
	if d.entry == nil {
		d.queue.add(d.Message, token)
		return
	}
	d.queue.mu.Lock()
	defer d.queue.mu.Unlock()
	d.entry.token = token
}

// Queue has the messages that were sent with a client and are not written, in order. Messages
// that were sent on the present connection are in its outbox too. Make one with New.
type Queue struct {
	maxMessages int
	maxBytes    int
	counters    *counters.Counters

	contextual chan struct{} // semaphore: one SendContext waits for room, the others for it

	order sync.Mutex // held while a message is queued and sent; guards conn
	conn  Conn       // the present connection; nil if there is none

	mu         sync.Mutex // guards the fields below
	entries    []*entry
	lastNumber uint64 // of the newest message that was queued
	bytes      int    // of the frames
	closed     bool
	changed    chan struct{} // closed with the next change; nil if no goroutine waits for it
}

// entry is a message that has not been written.
type entry struct {
	Message
	number uint64 // from 1
	token  Token  // nil if the message is in no outbox of the present connection
}

// New makes a Queue for at most maxMessages messages, whose frames have at most maxBytes. One
// that is bigger is taken alone. A message that does not fit counts in c.
func New(maxMessages, maxBytes int, c *counters.Counters) *Queue {
	return &Queue{maxMessages: maxMessages, maxBytes: maxBytes, counters: c, contextual: make(chan struct{}, 1)}
}

// Send sends a message if there is room. It returns sender.ErrClosed or sender.ErrOutboxFull.
func (q *Queue) Send(m Message) error {
	q.order.Lock()
	defer q.order.Unlock()
	messages, bytes, closed := q.load()
	switch {
	case closed:
		return sender.ErrClosed
	case messages > 0 && len(m.Frame) > q.maxBytes-bytes,
		messages >= q.maxMessages && !(messages < sender.BurstFactor*q.maxMessages && q.conn != nil && q.conn.WriterAdvances()):
		q.counters.Drop(counters.OutboxFull, 1)
		return sender.ErrOutboxFull
	}
	q.send(m)
	return nil
}

// Len returns the number of messages that are not written.
func (q *Queue) Len() int {
	messages, _, _ := q.load()
	return messages
}

// load returns the number and the bytes of the waiting messages. A first message that is bigger than maxBytes does not count for bytes.
func (q *Queue) load() (messages, bytes int, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	bytes = q.bytes
	if len(q.entries) > 0 && len(q.entries[0].Frame) > q.maxBytes {
		bytes -= len(q.entries[0].Frame)
	}
	return len(q.entries), bytes, q.closed
}

// send sends a message on the present connection, and queues it if it has not been written
// completely. The caller holds order.
func (q *Queue) send(m Message) {
	if q.conn == nil || q.conn.SendTracked(Delivery{Message: m, queue: q}) != nil {
		q.add(m, nil)
	}
}

// add queues a message.
func (q *Queue) add(m Message, token Token) {
	if m.Source == nil {
		m.Frame = slices.Clone(m.Frame)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lastNumber++
	q.entries = append(q.entries, &entry{m, q.lastNumber, token})
	q.bytes += len(m.Frame)
}

// Attach sends the queued messages on a new connection. Later messages are sent on it too.
func (q *Queue) Attach(c Conn) {
	q.order.Lock()
	defer q.order.Unlock()
	q.conn = c
	q.mu.Lock()
	entries := slices.Clone(q.entries)
	for _, e := range entries {
		e.token = nil // it was the last connection's
	}
	q.mu.Unlock()
	for _, e := range entries {
		if c.SendTracked(Delivery{e.Message, q, e}) != nil {
			return // the other messages are for the next connection
		}
		q.mu.Lock()
		if e.token == nil { // it was written without being queued
			q.removeLocked(e)
		}
		q.mu.Unlock()
	}
}

// Detach makes later messages wait for the next connection.
func (q *Queue) Detach() {
	q.order.Lock()
	defer q.order.Unlock()
	q.conn = nil
}

// Written is called with the token of each message in the outbox of the connection that was
// written, with the connection's lock held. Messages that were not sent with the Queue have
// tokens that it does not know.
func (q *Queue) Written(token Token) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.entries { // it is the first one, if it is in the queue
		if e.token == nil {
			return
		}
		if e.token == token {
			q.removeLocked(e)
			return
		}
	}
}

func (q *Queue) removeLocked(e *entry) {
	i := slices.Index(q.entries, e)
	if i < 0 {
		return
	}
	if i == 0 { // the usual case, without moving the others
		q.entries[0] = nil
		q.entries = q.entries[1:]
	} else {
		q.entries = slices.Delete(q.entries, i, i+1)
	}
	q.bytes -= len(e.Frame)
	q.notifyLocked()
}

// Close makes sends fail. Messages in the outbox of the connection can still be written.
func (q *Queue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.notifyLocked()
}
