package sender

import (
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/outbox"
	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// startWriter starts a writer for the outbox unless one is at work.
func (s *Sender) startWriter(h Host) {
	if !s.attached || s.state == cut || s.outbox.Writing() {
		return
	}
	s.outbox.SetWriting(true)
	progressed(s, s.outbox)
	h.WriterStarted()
	if t, ok := s.transport.(transport.WritableNotifier); ok {
		t.NotifyWritable()
		return
	}
	s.cfg.Active.Add()
	go writeLoop(s, h)
}

// Flush starts a writer if the outbox is not empty.
func (s *Sender) Flush(h Host) {
	if s.outbox.Pending() {
		s.startWriter(h)
	}
}

// writeLoop writes until the outbox is empty. A connection has one such goroutine at most,
// and only while its outbox has something to write. writeLoop takes the lock itself.
func writeLoop(s *Sender, h Host) {
	defer s.cfg.Active.Done()
	switch t := s.transport.(type) {
	case transport.BlockingWriter:
		for pumpBlocking(s, h, t) {
		}
	case transport.WritableWaiter:
		for s.Pump(h) {
			if err := t.AwaitWritable(); err != nil {
				h.Lock()
				h.WriteFailed(err)
				h.Unlock()
			}
		}
	}
}

// Pump writes as much of the outbox as possible without blocking, and reports whether the
// outbox has more. It takes the lock.
func (s *Sender) Pump(h Host) bool {
	h.Lock()
	defer h.Unlock()
	q := s.outbox
	buf := frame.GetBuffer()
	defer frame.PutBuffer(buf)
	for s.state != cut && q.Pending() {
		p, _ := q.Next(buf)
		n, err := s.tryWrite(h, p)
		if err != nil {
			break
		}
		wrote(s, h, n)
		if n < len(p) && s.state != cut {
			return true
		}
	}
	writerEnds(s)
	return false
}

// pumpBlocking writes one batch, however long that takes, and reports whether the outbox has
// more. It takes the lock, and releases it during the write.
func pumpBlocking(s *Sender, h Host, t transport.BlockingWriter) bool {
	h.Lock()
	defer h.Unlock()
	q := s.outbox
	if s.state != cut && q.Pending() {
		buf := frame.GetBuffer()
		defer frame.PutBuffer(buf)
		p, frames := q.Next(buf)
		q.Claim(frames)
		progressed(s, q)
		h.Unlock()
		n, err := t.Write(p, func() { progressed(s, q) })
		s.Traffic().BytesOut.Add(uint64(n))
		h.Lock()
		q.Claim(0)
		wrote(s, h, n)
		if err != nil {
			h.WriteFailed(err)
		}
	}
	if s.state != cut && q.Pending() {
		return true
	}
	writerEnds(s)
	return false
}

// wrote removes n bytes that were written from the outbox.
func wrote(s *Sender, h Host, n int) {
	if n == 0 {
		return
	}
	progressed(s, s.outbox)
	messages, closed := s.outbox.Advance(n)
	s.Traffic().MessagesOut.Add(uint64(messages))
	if closed {
		h.CloseFrameSent()
	}
	admitWaiters(s, h)
}

// writerEnds is called when the writer stops.
func writerEnds(s *Sender) {
	q := s.outbox
	q.SetWriting(false)
	switch {
	case s.state == cut:
		q.Abandon()
		s.DropMessages()
	case q.Waiters() > 0: // admitWaiters needs the outbox
	default:
		s.outbox = nil
	}
}

// progressed notes that the writer has made progress. It is safe without the lock.
func progressed(s *Sender, q *outbox.Queue) { q.Progressed(s.cfg.Ticker.Elapsed()) }

// LastProgress returns when the writer last made progress; false if there is no writer.
func (s *Sender) LastProgress() (at time.Duration, writing bool) {
	if !s.outbox.Writing() {
		return 0, false
	}
	return s.outbox.LastProgress(), true
}
