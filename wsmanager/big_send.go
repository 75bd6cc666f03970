package wsmanager

import (
	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/sender"
)

// bigHead is the number of bytes of a big message that are copied behind the frame header, for
// the first write.
const bigHead = 64 << 10

// sendsBig reports whether sendBig sends the message.
func sendsBig(c *Conn, m *Message) bool {
	return len(m.Payload) > frame.MaxPooled && c.m.keys == nil &&
		(m.NoCompression || !c.who.deflate || !c.m.compressor.wants(len(m.Payload)))
}

// sendBig is Send for a message of a server that is bigger than pooled buffers, and is not
// compressed. Its frame is not assembled, because the copy would be a buffer of its size for each
// message.
func sendBig(c *Conn, m Message) error {
	if err := checkOutgoing(c.m, &m); err != nil {
		return err
	}
	head := min(bigHead, len(m.Payload)) // a replacement of invalid text may have made it short
	buf := frame.GetBuffer()
	defer frame.PutBuffer(buf)
	*buf = append(frame.AppendHeader(*buf, ws.OpCode(m.Type), len(m.Payload)), m.Payload[:head]...)
	s := c.session()
	s.mu.Lock()
	s.catchUp()
	err := s.out.SendParts(s, *buf, m.Payload[head:])
	crowded := s.out.Crowded()
	s.mu.Unlock()
	if crowded {
		sender.YieldToWriter()
	}
	return err
}
