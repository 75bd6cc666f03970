package wsmanager

import (
	"context"
	"slices"
)

// waiter is a send that waits for room in the outbox.
type waiter struct {
	frame []byte
	done  chan error // gets one result, unless the wait is given up
}

// SendContext is Send for those who produce faster than a peer may read: instead
// of meeting the policy it waits until the outbox is at most half full with the
// message in it, so that broadcasts still find room. Sends that wait go in order.
//
// It returns ErrClosed if the connection closes while it waits, Shutdown
// included, and the cause of ctx when that ends first; the message is not sent
// then. A callback that waits reads nothing meanwhile: the peer is held up in
// turn, and cut by Options.WriteTimeout if it goes on not reading.
func (c *Conn) SendContext(ctx context.Context, m Message) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	buf, err := c.encode(m)
	if err != nil {
		return err
	}
	w, err := c.sendOrWait(*buf, false)
	putFrame(buf)
	if w == nil {
		return err
	}
	return c.await(ctx, w)
}

// SendPreparedContext is SendContext for a message that is ready. Besides its errors
// it returns those of [Conn.SendPrepared].
func (c *Conn) SendPreparedContext(ctx context.Context, p *Prepared) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	frame, err := c.prepared(p)
	if err != nil {
		return err
	}
	w, err := c.sendOrWait(c.m.wire(frame), true)
	if w == nil {
		return err
	}
	return c.await(ctx, w)
}

func (c *Conn) await(ctx context.Context, w *waiter) error {
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		if c.giveUp(w) {
			return context.Cause(ctx)
		}
		return <-w.done // it was let in, or the connection closed, at the same time
	}
}

// sendOrWait sends the frame if there is room, and queues up otherwise.
func (c *Conn) sendOrWait(frame []byte, shared bool) (*waiter, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if sent, err := c.tryLocked(frame, shared); sent || err != nil {
		return nil, err
	}
	if !shared {
		frame = append([]byte(nil), frame...)
	}
	w := &waiter{frame, make(chan error, 1)}
	o := c.outboxLocked()
	o.waiters = append(o.waiters, w)
	if c.letInLocked(); len(o.waiters) == 0 {
		return nil, nil
	}
	return w, nil
}

// giveUp takes w out of the queue, and reports whether it was there.
func (c *Conn) giveUp(w *waiter) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out == nil {
		return false
	}
	i := slices.Index(c.out.waiters, w)
	if i < 0 {
		return false
	}
	c.out.waiters = slices.Delete(c.out.waiters, i, i+1)
	c.letInLocked() // it may have been too big for what there is, and the next is not
	return true
}

// letInLocked moves those who wait into the outbox, as far as there is room.
func (c *Conn) letInLocked() {
	o := c.out
	for len(o.waiters) > 0 && c.state == stateOpen {
		w := o.waiters[0]
		messages, bytes := o.load()
		if messages > 0 && (messages >= c.m.opts.OutboxMessages/2 || len(w.frame) > c.m.opts.OutboxBytes/2-bytes) {
			return
		}
		o.waiters = slices.Delete(o.waiters, 0, 1)
		o.push(w.frame, 0)
		w.done <- nil
		c.startWriterLocked()
	}
	if len(o.waiters) == 0 {
		o.waiters = nil
	}
}

// failWaitersLocked ends all waits: the connection is closing.
func (c *Conn) failWaitersLocked() {
	if c.out == nil {
		return
	}
	for _, w := range c.out.waiters {
		w.done <- ErrClosed
	}
	c.out.waiters = nil
}
