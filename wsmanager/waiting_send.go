package wsmanager

import (
	"context"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
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
	frame.PutBuffer(buf)
	if w == nil {
		return err
	}
	return c.out.Await(ctx, c.session(), w)
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
	return c.out.Await(ctx, c.session(), w)
}

// sendOrWait sends the frame if there is room. Otherwise the frame waits in the outbox.
func (s *session) sendOrWait(frame []byte, shared bool) (*outbox.Waiter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.catchUp()
	return s.out.SendOrWait(s, frame, shared)
}
