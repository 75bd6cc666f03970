package wsmanager

import (
	"context"
	"slices"
	"sync"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/counters"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
)

// queue is what was sent with a Client and has not left, in order. What is on the
// present connection is in that connection's outbox as well.
type queue struct {
	m    *Manager
	turn chan struct{} // holds one: the send that waits for room

	order sync.Mutex // held while a message is put in line; comes before Conn.mu; guards conn
	conn  *Conn      // nil while there is none to send on

	mu      sync.Mutex // guards what follows; comes after Conn.mu
	items   []*queued
	last    uint64 // number of the newest that there was
	bytes   int    // of their frames
	closed  bool
	changed chan struct{} // closed with the next change; nil if nobody waits
}

// outgoing is a message as the application has sent it. It is masked, and compressed
// where that was agreed on, for each connection anew.
type outgoing struct {
	frame    []byte    // plain and without a mask
	prepared *Prepared // whose frame it is; nil: it is lent, and copied if it has to wait
	plain    bool      // Message.NoCompression
}

// queued is a message that waits.
type queued struct {
	outgoing
	number uint64 // from 1
	wire   []byte // as it is in the connection's outbox, nil if it is in none
}

func (q *queue) init(m *Manager) {
	q.m, q.turn = m, make(chan struct{}, 1)
	m.sending.onSent = q.left
}

// encode makes the frame of a message, without a mask.
func (q *queue) encode(msg Message) (*[]byte, error) {
	if err := checkType(msg); err != nil {
		return nil, err
	}
	if frame.Size(len(msg.Payload)) > q.m.maxFrame() {
		return nil, ErrMessageTooBig
	}
	buf := getFrame()
	*buf = frame.Append(*buf, ws.OpCode(msg.Type), msg.Payload)
	return buf, nil
}

// send puts a message in line, if there is room.
func (q *queue) send(o outgoing) error {
	q.order.Lock()
	defer q.order.Unlock()
	messages, bytes, closed := q.load()
	switch {
	case closed:
		return ErrClosed
	case len(o.frame) > q.m.opts.OutboxBytes-bytes,
		messages >= q.m.opts.OutboxMessages && !(messages < queueBurstFactor*q.m.opts.OutboxMessages && q.onlyBurst()):
		q.m.counters.Drop(counters.OutboxFull, 1)
		return ErrOutboxFull
	}
	q.put(o)
	return nil
}

// onlyBurst reports whether what waits may be a mere burst, see sender.writerAdvances.
func (q *queue) onlyBurst() bool {
	if q.conn == nil {
		return false
	}
	q.conn.mu.Lock()
	defer q.conn.mu.Unlock()
	return q.conn.life.state == stateOpen && q.conn.out.writerAdvances()
}

func (q *queue) load() (messages, bytes int, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items), q.bytes, q.closed
}

// put puts a message in line, under order.
func (q *queue) put(o outgoing) {
	add := func(wire []byte) {
		if o.prepared == nil {
			o.frame = slices.Clone(o.frame)
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		q.last++
		q.items = append(q.items, &queued{o, q.last, wire})
		q.bytes += len(o.frame)
	}
	if q.conn == nil || q.conn.sendKept(o, add) != nil {
		add(nil)
	}
}

// appendWire appends a message's frame as this connection sends it to dst, which is
// empty.
func (c *Conn) appendWire(dst []byte, o outgoing) []byte {
	size := frame.PayloadSize(o.frame)
	compressed := false
	switch {
	case !c.who.deflate || o.plain || !c.m.compressor.wants(size):
	case o.prepared != nil:
		dst = append(dst, o.prepared.forVariant(0).deflated(&c.m.compressor)...)
		compressed = true
	default:
		dst, compressed = c.m.compressor.append(dst, MessageType(o.frame[0]&0x0f), o.frame[len(o.frame)-size:])
	}
	if !compressed {
		dst = append(dst, o.frame...)
	}
	return c.m.keys.Mask(dst, 0)
}

// sendKept writes a message's frame, or queues it, whatever the outbox's limits. It
// calls kept, under the lock, with the frame in the outbox if that has not left whole. An
// error says that the connection has ended: nothing was sent, or a part of it.
func (c *Conn) sendKept(o outgoing, kept func(wire []byte)) error {
	buf := getFrame()
	defer putFrame(buf)
	*buf = c.appendWire(*buf, o)
	c.mu.Lock()
	s := c.session()
	s.catchUp()
	sent, err := c.out.write(s, *buf, false)
	if err == nil && !sent {
		c.out.push(s, *buf, 0, false)
	}
	if frame := c.out.outbox.Last(); err == nil && frame != nil {
		kept(frame)
	}
	crowded := c.out.crowded()
	c.mu.Unlock()
	if crowded {
		yieldToWriter()
	}
	return err
}

// attach lets what waits go out on a connection, and what is sent from now on.
func (q *queue) attach(c *Conn) {
	q.order.Lock()
	defer q.order.Unlock()
	q.conn = c
	q.mu.Lock()
	items := slices.Clone(q.items)
	q.mu.Unlock()
	for _, it := range items {
		kept := false
		err := c.sendKept(it.outgoing, func(wire []byte) {
			kept = true
			q.mu.Lock()
			defer q.mu.Unlock()
			it.wire = wire
		})
		switch {
		case err != nil:
			return // the rest is for the next
		case !kept:
			q.mu.Lock()
			q.removeLocked(it)
			q.mu.Unlock()
		}
	}
}

// detach keeps what is sent from now on for the next connection.
func (q *queue) detach() {
	q.order.Lock()
	defer q.order.Unlock()
	q.conn = nil
}

// left is told that the last byte of a frame was written; the connection's lock is
// held.
func (q *queue) left(wire []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, it := range q.items { // the first, unless a Conn's own message is meant
		if it.wire == nil {
			return
		}
		if &it.wire[0] == &wire[0] {
			q.removeLocked(it)
			return
		}
	}
}

func (q *queue) removeLocked(it *queued) {
	i := slices.Index(q.items, it)
	if i < 0 {
		return
	}
	if i == 0 { // cheap, as the head is what goes
		q.items[0] = nil
		q.items = q.items[1:]
	} else {
		q.items = slices.Delete(q.items, i, i+1)
	}
	q.bytes -= len(it.frame)
	q.changeLocked()
}

func (q *queue) changeLocked() {
	if q.changed != nil {
		close(q.changed)
		q.changed = nil
	}
}

// close makes sends fail. What is on a connection already may still leave.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changeLocked()
}

// awaitLocked returns what is closed with the next change.
func (q *queue) awaitLocked() <-chan struct{} {
	if q.changed == nil {
		q.changed = make(chan struct{})
	}
	return q.changed
}

// sendContext puts a message in line when there is room for it in half of what may
// wait. Sends that wait go in order.
func (q *queue) sendContext(ctx context.Context, o outgoing) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case q.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-q.turn }()
	for {
		changed, err := q.tryContext(o)
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

// tryContext puts a message in line, or returns what to wait for.
func (q *queue) tryContext(o outgoing) (changed <-chan struct{}, err error) {
	q.order.Lock()
	defer q.order.Unlock()
	q.mu.Lock()
	switch n := len(q.items); {
	case q.closed:
		err = ErrClosed
	case n > 0 && (n >= q.m.opts.OutboxMessages/2 || len(o.frame) > q.m.opts.OutboxBytes/2-q.bytes):
		changed = q.awaitLocked()
	}
	q.mu.Unlock()
	if changed == nil && err == nil {
		q.put(o)
	}
	return changed, err
}

// flush waits until nothing is left of what there is now.
func (q *queue) flush(ctx context.Context) error {
	q.mu.Lock()
	last := q.last
	q.mu.Unlock()
	for {
		q.mu.Lock()
		gone := len(q.items) == 0 || q.items[0].number > last
		closed, changed := q.closed, q.awaitLocked()
		q.mu.Unlock()
		switch {
		case gone:
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
