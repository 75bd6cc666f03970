package wsmanager

import (
	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/bytepool"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
)

// bigHead is the number of bytes of a big message that are copied behind the frame header, for
// the first write.
const bigHead = 64 << 10

// sendBig is Send for a message of a server that is bigger than pooled buffers: its frame is
// not assembled, because the copy would be a buffer of its size for each message. It returns
// false if the message has to be compressed.
func sendBig(c *Conn, m Message) (sent bool, err error) {
	switch {
	case checkType(m) != nil:
		return false, ErrMessageType
	case frame.Size(len(m.Payload)) > c.m.maxFrame():
		return false, ErrMessageTooBig
	case c.m.compressor.wants(len(m.Payload)) && !m.NoCompression && c.who.deflate:
		return false, nil
	}
	buf := getFrame()
	defer putFrame(buf)
	*buf = frame.AppendHeader(*buf, ws.OpCode(m.Type), len(m.Payload))
	*buf = append(*buf, m.Payload[:bigHead]...)
	s := c.session()
	s.mu.Lock()
	s.catchUp()
	err = c.out.sendParts(s, *buf, m.Payload[bigHead:])
	crowded := c.out.crowded()
	s.mu.Unlock()
	if crowded {
		yieldToWriter()
	}
	return err == nil, err
}

// sendParts is send for a frame in two parts. It copies only the bytes that have to wait.
func (s *sender) sendParts(h sendHost, head, rest []byte) error {
	if s.state != stateOpen {
		return ErrClosed
	}
	n := 0
	if s.mayWrite() {
		for _, p := range [][]byte{head, rest} {
			written, err := s.tryWrite(h, p)
			if err != nil {
				return ErrClosed
			}
			if n += written; written < len(p) {
				break
			}
		}
	}
	size := len(head) + len(rest)
	switch n {
	case size:
		s.traffic().MessagesOut.Add(1)
		return nil
	case 0:
		err := s.makeRoom(h, size)
		if err == nil {
			s.pushPooled(h, append(append(bytepool.Get(size), head...), rest...), 0)
		}
		return err
	}
	// The first byte tells the outbox what the frame is. The memory has the size of the payload,
	// so that messages of one size use the same, whatever the kernel takes of each.
	left := append(bytepool.Get(max(1+size-n, len(rest)+bigHead)), head[0])
	if n < len(head) {
		left = append(left, head[n:]...)
	}
	s.pushPooled(h, append(left, rest[max(0, n-len(head)):]...), 1)
	return nil
}

// pushPooled is push for a frame in memory of package bytepool.
func (s *sender) pushPooled(h sendHost, frame []byte, sent int) {
	s.queue().PushPooled(frame, sent)
	s.startWriter(h)
}
