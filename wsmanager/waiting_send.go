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
	w, err := c.session().sendOrWait(*buf, false)
	putFrame(buf)
	if w == nil {
		return err
	}
	return c.out.await(ctx, c.session(), w)
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
	w, err := c.session().sendOrWait(c.m.keys.Masked(frame), true)
	if w == nil {
		return err
	}
	return c.out.await(ctx, c.session(), w)
}

// sendOrWait sends the frame if there is room. Otherwise the frame waits in the outbox.
func (s *session) sendOrWait(frame []byte, shared bool) (*outbox.Waiter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.catchUp()
	return s.out.sendOrWait(s, frame, shared)
}

func (s *sender) sendOrWait(h sendHost, frame []byte, shared bool) (*outbox.Waiter, error) {
	if sent, err := s.write(h, frame, shared); sent || err != nil {
		return nil, err
	}
	if !shared {
		frame = append([]byte(nil), frame...)
	}
	q := s.queue()
	w := q.Wait(frame)
	if s.admitWaiters(h); q.Waiters() == 0 {
		return nil, nil
	}
	return w, nil
}

// await waits for a send that waits in the outbox. It is called without the lock.
func (s *sender) await(ctx context.Context, h sendHost, w *outbox.Waiter) error {
	select {
	case admitted := <-w.Result():
		return waitError(admitted)
	case <-ctx.Done():
		if s.withdraw(h, w) {
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

// withdraw removes w from the outbox, and reports whether it was still waiting. It takes the
// lock.
func (s *sender) withdraw(h sendHost, w *outbox.Waiter) bool {
	h.Lock()
	defer h.Unlock()
	if !s.outbox.Withdraw(w) {
		return false
	}
	s.admitWaiters(h) // the next one may be smaller, and have room
	return true
}
