package sender

import (
	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
)

// SendControl writes a ping or pong. One that cannot be written now replaces the one in the
// outbox, so that a peer cannot make the outbox grow.
func (s *Sender) SendControl(h Host, op ws.OpCode, payload []byte) {
	if s.state != open || !s.attached {
		return
	}
	if op == ws.OpPing {
		s.unanswered.Add(1)
	}
	if s.mayWrite() {
		buf := frame.GetBuffer()
		defer frame.PutBuffer(buf)
		*buf = s.cfg.Keys.Append(*buf, op, payload)
		n, err := s.tryWrite(h, *buf)
		if err != nil || n == len(*buf) {
			return
		}
		if n > 0 {
			s.push(h, *buf, n, false)
			return
		}
	}
	if q := s.queue(); op == ws.OpPing {
		q.SetPing(s.cfg.Keys.Append(nil, op, payload))
	} else {
		q.SetPong(s.cfg.Keys.Append(nil, op, payload))
	}
	s.startWriter(h)
}

// PongReceived counts a pong, and reports whether it answers a ping. It is safe without the
// lock.
func (s *Sender) PongReceived() (answers bool) {
	if s.unanswered.Load() == 0 {
		return false
	}
	s.unanswered.Add(-1)
	return true
}

// BeginClose is called when the connection begins to close: pings, pongs and sends that wait
// are dropped.
func (s *Sender) BeginClose() {
	s.state = closing
	if s.outbox != nil {
		s.outbox.DropControl()
	}
	s.outbox.FailWaiters()
}

// SendClose writes the close frame, or queues it behind the messages of the outbox.
func (s *Sender) SendClose(h Host, code ws.StatusCode, reason string) {
	n, frame := 0, s.cfg.Keys.Masked(frame.NewClose(code, reason))
	if s.mayWrite() {
		var err error
		switch n, err = s.tryWrite(h, frame); {
		case err != nil:
			return
		case n == len(frame):
			h.CloseFrameSent()
			return
		}
	}
	s.push(h, frame, n, true)
}
