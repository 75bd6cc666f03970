package wsmanager

import "github.com/speakingtube/speakingtube/wsmanager/internal/transport"

// startWriter starts a writer for the outbox unless one is at work.
func (s *sender) startWriter(h sendHost) {
	if !s.attached || s.state == stateCut || s.outbox.Writing() {
		return
	}
	s.outbox.SetWriting(true)
	s.progressed(s.outbox)
	h.writerStarted()
	if t, ok := s.transport.(transport.WritableNotifier); ok {
		t.NotifyWritable()
		return
	}
	s.cfg.active.Add()
	go s.writeLoop(h)
}

// flush starts a writer if the outbox is not empty.
func (s *sender) flush(h sendHost) {
	if s.outbox.Pending() {
		s.startWriter(h)
	}
}

// writeLoop writes until the outbox is empty. A connection has one such goroutine at most,
// and only while its outbox has something to write. writeLoop takes the lock itself.
func (s *sender) writeLoop(h sendHost) {
	defer s.cfg.active.Done()
	switch t := s.transport.(type) {
	case transport.BlockingWriter:
		for s.pumpBlocking(h, t) {
		}
	case transport.WritableWaiter:
		for s.pump(h) {
			if err := t.AwaitWritable(); err != nil {
				h.Lock()
				h.writeFailed(err)
				h.Unlock()
			}
		}
	}
}

// pump writes as much of the outbox as possible without blocking, and reports whether the
// outbox has more. It takes the lock.
func (s *sender) pump(h sendHost) bool {
	h.Lock()
	defer h.Unlock()
	q := s.outbox
	buf := getFrame()
	defer putFrame(buf)
	for s.state != stateCut && q.Pending() {
		p, _ := q.Next(buf)
		n, err := s.tryWrite(h, p)
		if err != nil {
			break
		}
		s.wrote(h, n)
		if n < len(p) && s.state != stateCut {
			return true
		}
	}
	s.writerEnds()
	return false
}

// pumpBlocking writes one batch, however long that takes, and reports whether the outbox has
// more. It takes the lock, and releases it during the write.
func (s *sender) pumpBlocking(h sendHost, t transport.BlockingWriter) bool {
	h.Lock()
	defer h.Unlock()
	q := s.outbox
	if s.state != stateCut && q.Pending() {
		buf := getFrame()
		defer putFrame(buf)
		p, frames := q.Next(buf)
		q.Claim(frames)
		s.progressed(q)
		h.Unlock()
		n, err := t.Write(p, func() { s.progressed(q) })
		s.traffic().BytesOut.Add(uint64(n))
		h.Lock()
		q.Claim(0)
		s.wrote(h, n)
		if err != nil {
			h.writeFailed(err)
		}
	}
	if s.state != stateCut && q.Pending() {
		return true
	}
	s.writerEnds()
	return false
}

// wrote removes n bytes that were written from the outbox.
func (s *sender) wrote(h sendHost, n int) {
	if n == 0 {
		return
	}
	s.progressed(s.outbox)
	messages, closed := s.outbox.Advance(n)
	s.traffic().MessagesOut.Add(uint64(messages))
	if closed {
		h.closeFrameSent()
	}
	s.admitWaiters(h)
}

// writerEnds is called when the writer stops.
func (s *sender) writerEnds() {
	q := s.outbox
	q.SetWriting(false)
	switch {
	case s.state == stateCut:
		q.Abandon()
		s.dropMessages()
	case q.Waiters() > 0: // admitWaiters needs the outbox
	default:
		s.outbox = nil
	}
}

// admitWaiters moves sends that wait into the outbox while it is at most half full.
func (s *sender) admitWaiters(h sendHost) {
	if s.state == stateOpen && s.outbox.Admit(s.cfg.maxMessages/2, s.cfg.maxBytes/2) {
		s.startWriter(h)
	}
}
