package wsmanager

import (
	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/broadcast"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
)

// encode makes the frame of a message for this connection. frame.PutBuffer takes the buffer back.
func (c *Conn) encode(msg Message) (*[]byte, error) {
	if err := checkType(msg); err != nil {
		return nil, err
	}
	if frame.Size(len(msg.Payload)) > c.m.maxFrame() {
		return nil, ErrMessageTooBig
	}
	buf := frame.GetBuffer()
	if c.m.compressor.wants(len(msg.Payload)) && !msg.NoCompression && c.who.deflate {
		var ok bool
		if *buf, ok = c.m.compressor.append(*buf, msg.Type, msg.Payload); ok {
			if c.m.keys != nil {
				*buf = c.m.keys.Mask(*buf, 0)
			}
			return buf, nil
		}
	}
	*buf = c.m.keys.Append(*buf, ws.OpCode(msg.Type), msg.Payload)
	return buf, nil
}

// frame returns the unmasked frame of p in the connection's encoding.
func (c *Conn) frame(p *Prepared) ([]byte, error) {
	e, ok := c.reception.Encoding()
	if !ok {
		return nil, ErrNotReady
	}
	return c.m.frame(p, e)
}

// frame returns the unmasked frame of p in an encoding, if this Manager can send it.
func (m *Manager) frame(p *Prepared, e broadcast.Encoding) ([]byte, error) {
	return p.frame(e, &m.compressor, m.maxFrame())
}

// checkPrepared returns the error of p if it is the same in all encodings.
func (m *Manager) checkPrepared(p *Prepared) error {
	if p.encode != nil {
		return nil
	}
	_, err := m.frame(p, encodingOf(0, false))
	return err
}

// SendJSON sends v as a text message in JSON. Besides the errors of Send it returns those of
// json.Marshal.
func (c *Conn) SendJSON(v any) error {
	text, err := marshalJSON(v)
	if err != nil {
		return err
	}
	return c.Send(Message{Type: TextMessage, Payload: text})
}

// SendPrepared is Send for a prepared message. Besides the errors of Send it returns those
// of PrepareFunc, and ErrNotReady before [Conn.Ready] of a connection that was accepted with
// Accept.Deferred.
func (c *Conn) SendPrepared(p *Prepared) error {
	frame, err := c.frame(p)
	if err != nil {
		return err
	}
	return c.session().send(frame, true)
}

// agreeDeflate notes that the handshake has agreed on compression.
func (c *Conn) agreeDeflate() {
	if c.who == &anonymous {
		c.who = &anonymousDeflate
		return
	}
	c.who.deflate = true
}
