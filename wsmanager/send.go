package wsmanager

import (
	"runtime"
	"time"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/outbox"
	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// Send sends a message to the peer. It never blocks, and has taken the bytes of
// the payload when it returns: they are written, or copied into the outbox.
// Messages of one goroutine arrive in the order of their sends.
//
// It returns ErrClosed if the connection is closing, ErrOutboxFull if the peer
// reads too slowly (see [SlowConsumer]), ErrMessageTooBig and ErrMessageType for
// messages that can't be sent. nil does not mean that the peer has got the
// message.
func (c *Conn) Send(m Message) error {
	buf, err := c.encode(m)
	if err != nil {
		return err
	}
	err = c.send(*buf, false)
	putFrame(buf)
	return err
}

// send writes a message's frame, or queues it. A frame that is not shared is
// copied if it has to wait.
func (c *Conn) send(frame []byte, shared bool) error {
	if shared && c.m.keys != nil {
		return c.sendMasked(frame)
	}
	c.mu.Lock()
	if c.m.broadcaster.behindLocked(c) {
		c.m.broadcaster.catchUpLocked(c)
	}
	err := c.sendLocked(frame, shared)
	crowded := c.crowdedLocked()
	c.mu.Unlock()
	if crowded {
		runtime.Gosched()
	}
	return err
}

// sendLocked writes a message's frame, or queues it.
func (c *Conn) sendLocked(frame []byte, shared bool) error {
	sent, err := c.writeLocked(frame, shared)
	if sent || err != nil {
		return err
	}
	return c.enqueueLocked(frame, shared)
}

// tryLocked writes a frame straight away if nothing is in front of it. Broadcasts that
// are pending for the connection go first.
func (c *Conn) tryLocked(frame []byte, shared bool) (sent bool, err error) {
	if c.m.broadcaster.behindLocked(c) {
		c.m.broadcaster.catchUpLocked(c)
	}
	return c.writeLocked(frame, shared)
}

// writeLocked writes a frame straight away if nothing is in front of it. What the
// transport takes only a part of counts as sent: the rest follows.
func (c *Conn) writeLocked(frame []byte, shared bool) (sent bool, err error) {
	if c.state != stateOpen {
		return false, ErrClosed
	}
	if !c.mayTryLocked() {
		return false, nil
	}
	n, err := c.tryWriteLocked(frame)
	switch {
	case err != nil:
		return false, ErrClosed
	case n == len(frame):
		c.traffic().messagesOut.Add(1)
	case n > 0:
		c.pushLocked(frame, n, shared)
	}
	return n > 0, nil
}

// mayTryLocked reports whether nothing is in front of a frame that is to be
// written now.
func (c *Conn) mayTryLocked() bool { return c.attached && !c.out.Writing() && !c.out.Pending() }

// tryWriteLocked writes as much of p as possible without blocking, which is nothing if the
// transport is not a TryWriter. An error has cut the connection.
func (c *Conn) tryWriteLocked(p []byte) (n int, err error) {
	t, ok := c.t.(transport.TryWriter)
	if !ok {
		return 0, nil
	}
	n, err = t.TryWrite(p)
	if n > 0 {
		c.traffic().bytesOut.Add(uint64(n))
	}
	if err != nil {
		c.vanishedLocked(err)
	}
	return n, err
}

// pushLocked queues a frame of which the first sent bytes have left.
func (c *Conn) pushLocked(frame []byte, sent int, shared bool) {
	if !shared {
		frame = append([]byte(nil), frame...)
	}
	c.outboxLocked().Push(frame, sent)
	c.startWriterLocked()
}

func (c *Conn) outboxLocked() *outbox.Queue {
	if c.out == nil {
		c.out = outbox.New(c.m.onSent)
	}
	return c.out
}

// enqueueLocked queues a message's frame, as far as the policy lets it.
func (c *Conn) enqueueLocked(frame []byte, shared bool) error {
	if !c.fitsLocked(len(frame)) {
		switch c.policy {
		case SlowConsumerDropOldest:
			for !c.fitsLocked(len(frame)) && c.out.DropOldest() {
				c.m.stats.drop(dropOldest, 1)
			}
		case SlowConsumerDropNewest:
			c.m.stats.drop(dropOutboxFull, 1)
			return ErrOutboxFull
		default:
			c.m.stats.drop(dropOutboxFull, 1)
			c.closeLocked(&CloseError{Code: StatusTryAgainLater, Err: ErrSlowConsumer}, closeFail)
			return ErrOutboxFull
		}
	}
	c.pushLocked(frame, 0, shared)
	return nil
}

// fitsLocked reports whether the outbox has room for a frame of n bytes. What is
// on its way counts as well, but not where the oldest are dropped to make room:
// there it could push out every new message while one old one is stuck.
func (c *Conn) fitsLocked(n int) bool {
	messages, bytes := c.out.Load()
	if c.policy == SlowConsumerDropOldest {
		messages, bytes = c.out.Droppable()
	}
	if n > c.m.opts.OutboxBytes-bytes { // the sum may be more than an int of 32 bits
		return false
	}
	return messages < c.m.opts.OutboxMessages || messages < burst*c.m.opts.OutboxMessages && c.onlyBurstLocked()
}

// Where nothing can be written without waiting, a message passes the outbox
// however fast the peer reads, and a burst says more about our scheduler than
// about the peer. There the number of messages counts only once the write under
// way is stuck for stuckAfter; until then there may be burst times as many, in
// the same number of bytes.
const (
	burst      = 16
	stuckAfter = time.Second
)

// onlyBurstLocked reports whether what waits may be a mere burst.
func (c *Conn) onlyBurstLocked() bool {
	_, blocking := c.t.(transport.BlockingWriter)
	return blocking && c.out.Writing() && c.m.wheel.Elapsed()-c.out.LastProgress() < c.m.stuckAfter
}

// crowdedLocked reports whether a burst fills half of what it may, or more: time
// for the sender to let the writer run, which on one processor it could not
// otherwise.
func (c *Conn) crowdedLocked() bool {
	messages, bytes := c.out.Load()
	return (messages/(burst/2) >= c.m.opts.OutboxMessages || bytes > c.m.opts.OutboxBytes/2) && c.state == stateOpen && c.onlyBurstLocked()
}

// sendControlLocked writes a ping or pong, or leaves it in its place: a newer one
// takes it over, so that a peer can't make us keep many.
func (c *Conn) sendControlLocked(op ws.OpCode, payload []byte) {
	if c.state != stateOpen || !c.attached {
		return
	}
	if op == ws.OpPing {
		c.unanswered.Add(1)
	}
	if c.mayTryLocked() {
		buf := getFrame()
		defer putFrame(buf)
		*buf = c.m.appendFrame(*buf, op, payload)
		n, err := c.tryWriteLocked(*buf)
		if err != nil || n == len(*buf) {
			return
		}
		if n > 0 {
			c.pushLocked(*buf, n, false)
			return
		}
	}
	if o := c.outboxLocked(); op == ws.OpPing {
		o.SetPing(c.m.appendFrame(nil, op, payload))
	} else {
		o.SetPong(c.m.appendFrame(nil, op, payload))
	}
	c.startWriterLocked()
}
