package sender

import (
	"context"

	"github.com/speakingtube/speakingtube/wsmanager/internal/outbox"
)

// SendOrWait is Send, but if there is no room, the frame waits in the outbox until the outbox is
// at most half full with it. Frames that wait are sent in order. If the frame waits, the result
// is for [Sender.Await]; otherwise it is nil.
func (s *Sender) SendOrWait(h Host, frame []byte, shared bool) (*outbox.Waiter, error) {
	if sent, err := s.write(h, frame, shared); sent || err != nil {
		return nil, err
	}
	if !shared {
		frame = append([]byte(nil), frame...)
	}
	q := s.queue()
	w := q.Wait(frame)
	if admitWaiters(s, h); q.Waiters() == 0 {
		return nil, nil
	}
	return w, nil
}

// Await waits for a frame that waits in the outbox. It returns the cause of ctx if that ends
// first; the frame is not sent then. It is called without the lock, and takes it.
func (s *Sender) Await(ctx context.Context, h Host, w *outbox.Waiter) error {
	select {
	case admitted := <-w.Result():
		return waitError(admitted)
	case <-ctx.Done():
		if withdraw(s, h, w) {
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
func withdraw(s *Sender, h Host, w *outbox.Waiter) bool {
	h.Lock()
	defer h.Unlock()
	if !s.outbox.Withdraw(w) {
		return false
	}
	admitWaiters(s, h) // the next one may be smaller, and have room
	return true
}

// admitWaiters moves sends that wait into the outbox while it is at most half full.
func admitWaiters(s *Sender, h Host) {
	if s.state == open && s.outbox.Admit(s.cfg.MaxMessages/2, s.cfg.MaxBytes/2) {
		s.startWriter(h)
	}
}
