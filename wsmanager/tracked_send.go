package wsmanager

import (
	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/clientqueue"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/sender"
)

// newClientQueue makes the queue of a Client whose connections m has. m must have no
// connections yet.
func (m *Manager) newClientQueue() *clientqueue.Queue {
	q := clientqueue.New(m.opts.OutboxMessages, m.opts.OutboxBytes, &m.counters)
	m.sending.OnSent = func(frame []byte) { q.Written(clientqueue.TokenOf(frame)) }
	return q
}

// encodePlain makes the frame of a message, neither compressed nor masked. frame.PutBuffer takes
// the buffer back.
func encodePlain(m *Manager, msg Message) (*[]byte, error) {
	if err := checkOutgoing(m, &msg); err != nil {
		return nil, err
	}
	buf := frame.GetBuffer()
	*buf = frame.Append(*buf, ws.OpCode(msg.Type), msg.Payload)
	return buf, nil
}

// SendTracked implements clientqueue.Conn.
func (s *session) SendTracked(d clientqueue.Delivery) error {
	buf := frame.GetBuffer()
	defer frame.PutBuffer(buf)
	*buf = appendTracked(*buf, s, &d.Message)
	s.mu.Lock()
	s.catchUp()
	err := s.out.SendUnlimited(s, *buf)
	if last := s.out.LastFrame(); err == nil && last != nil {
		d.Queued(clientqueue.TokenOf(last))
	}
	crowded := s.out.Crowded()
	s.mu.Unlock()
	if crowded {
		sender.YieldToWriter()
	}
	return err
}

// appendTracked appends the frame of a message for the connection to dst, which is empty.
func appendTracked(dst []byte, s *session, m *clientqueue.Message) []byte {
	size := frame.PayloadSize(m.Frame)
	compressed := false
	switch f, prepared := m.Source.(*preparedFrame); {
	case !s.who.deflate || m.Plain || !s.m.compressor.wants(size):
	case prepared:
		dst = append(dst, f.deflated(&s.m.compressor)...)
		compressed = true
	default:
		dst, compressed = s.m.compressor.append(dst, MessageType(m.Frame[0]&0x0f), m.Frame[len(m.Frame)-size:])
	}
	if !compressed {
		dst = append(dst, m.Frame...)
	}
	return s.m.keys.Mask(dst, 0)
}

// WriterAdvances implements clientqueue.Conn.
func (s *session) WriterAdvances() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.WriterAdvances()
}
