package wsmanager

import (
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
)

// A Client sends tracked messages: they are queued without limits, and the Client is told when
// the last byte of each has been written.

// trackingToken identifies a tracked message in the outbox of its connection.
type trackingToken *byte

// tokenOf returns the token of a frame in the outbox.
func tokenOf(frame []byte) trackingToken { return &frame[0] }

// onWritten has written called when the last byte of a queued message is written, for untracked
// messages too. The connection's lock is held during the call. onWritten must be called before
// the first connection.
func (m *Manager) onWritten(written func(trackingToken)) {
	m.sending.onSent = func(frame []byte) { written(tokenOf(frame)) }
}

// trackedMessage is a message as the application has sent it. Each connection compresses and
// masks it anew.
type trackedMessage struct {
	frame    []byte         // neither compressed nor masked
	prepared *preparedFrame // the owner of frame; nil if the frame has no other owner
	plain    bool           // Message.NoCompression
}

// sendTracked writes a message, or queues it without regard to the limits of the outbox. If part
// of the message is still to be written, it calls queued with the message's token. The
// connection's lock is held during the call. After an error the connection has ended, and at most
// a part of the message has been written.
func (s *session) sendTracked(m trackedMessage, queued func(trackingToken)) error {
	buf := getFrame()
	defer putFrame(buf)
	*buf = m.append(*buf, s)
	s.mu.Lock()
	s.catchUp()
	err := s.out.sendUnlimited(s, *buf)
	if last := s.out.outbox.Last(); err == nil && last != nil {
		queued(tokenOf(last))
	}
	crowded := s.out.crowded()
	s.mu.Unlock()
	if crowded {
		yieldToWriter()
	}
	return err
}

// sendUnlimited is send without the limits of the outbox and without a policy.
func (s *sender) sendUnlimited(h sendHost, frame []byte) error {
	sent, err := s.write(h, frame, false)
	if err == nil && !sent {
		s.push(h, frame, 0, false)
	}
	return err
}

// append appends the frame of the message for a connection to dst, which is empty.
func (m *trackedMessage) append(dst []byte, s *session) []byte {
	size := frame.PayloadSize(m.frame)
	compressed := false
	switch {
	case !s.who.deflate || m.plain || !s.m.compressor.wants(size):
	case m.prepared != nil:
		dst = append(dst, m.prepared.deflated(&s.m.compressor)...)
		compressed = true
	default:
		dst, compressed = s.m.compressor.append(dst, MessageType(m.frame[0]&0x0f), m.frame[len(m.frame)-size:])
	}
	if !compressed {
		dst = append(dst, m.frame...)
	}
	return s.m.keys.Mask(dst, 0)
}

// writerAdvances reports whether the connection is open and its writer makes progress; see
// sender.writerAdvances.
func (c *Conn) writerAdvances() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.state == stateOpen && c.out.writerAdvances()
}

// endCause returns how the connection ended, or why it is closing; nil while it is open.
func (c *Conn) endCause() *CloseError {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.cold == nil {
		return nil
	}
	return c.life.cold.cause
}
