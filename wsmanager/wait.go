package wsmanager

import (
	"context"

	"github.com/speakingtube/speakingtube/wsmanager/internal/outbox"
)

// SendContext is Send for producers that may be faster than the peer reads. Instead of
// applying the [SlowConsumer] policy it waits until the outbox is at most half full with the
// message in it, so that broadcasts still find room. Sends that wait are served in order.
//
// It returns ErrClosed if the connection closes while it waits, for example by Shutdown, and
// the cause of ctx if ctx ends first; the message is not sent then. While a callback waits,
// its connection is not read, so the peer cannot send either; if the peer does not read, it
// is cut after Options.Timeouts.Write.
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

// SendPreparedContext is SendContext for a prepared message. Besides its errors it returns
// those of [Conn.SendPrepared].
func (c *Conn) SendPreparedContext(ctx context.Context, p *Prepared) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	frame, err := c.frame(p)
	if err != nil {
		return err
	}
	w, err := c.sendOrWait(c.m.wire(frame), true)
	if w == nil {
		return err
	}
	return c.await(ctx, w)
}

// await waits for a send that waits in the outbox.
func (c *Conn) await(ctx context.Context, w *outbox.Waiter) error {
	select {
	case admitted := <-w.Result():
		return waitError(admitted)
	case <-ctx.Done():
		if c.withdraw(w) {
			return context.Cause(ctx)
		}
		return waitError(<-w.Result()) // it was admitted, or the connection closed, at the same time
	}
}

func waitError(admitted bool) error {
	if !admitted {
		return ErrClosed
	}
	return nil
}

// sendOrWait sends the frame if there is room. Otherwise the frame waits in the outbox.
func (c *Conn) sendOrWait(frame []byte, shared bool) (*outbox.Waiter, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if sent, err := c.tryLocked(frame, shared); sent || err != nil {
		return nil, err
	}
	if !shared {
		frame = append([]byte(nil), frame...)
	}
	o := c.outboxLocked()
	w := o.Wait(frame)
	if c.admitWaitersLocked(); o.Waiters() == 0 {
		return nil, nil
	}
	return w, nil
}

// withdraw removes w from the outbox, and reports whether it was still waiting.
func (c *Conn) withdraw(w *outbox.Waiter) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.out.Withdraw(w) {
		return false
	}
	c.admitWaitersLocked() // the next one may be smaller, and have room
	return true
}

// admitWaitersLocked moves sends that wait into the outbox while it is at most half full.
func (c *Conn) admitWaitersLocked() {
	if c.state == stateOpen && c.out.Admit(c.m.opts.OutboxMessages/2, c.m.opts.OutboxBytes/2) {
		c.startWriterLocked()
	}
}
