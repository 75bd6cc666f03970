package wsmanager

import (
	"unicode/utf8"

	"github.com/speakingtube/speakingtube/wsmanager/internal/broadcast"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
)

// checkOutgoing checks a message that a connection of m sends, and replaces invalid text if the
// options say so. It returns the error of the send.
func checkOutgoing(m *Manager, msg *Message) error {
	if msg.Type != TextMessage && msg.Type != BinaryMessage {
		return ErrMessageType
	}
	if frame.Size(len(msg.Payload)) > m.maxFrame() {
		return ErrMessageTooBig // before a pass over the payload
	}
	if msg.Type != TextMessage || utf8.Valid(msg.Payload) {
		return nil
	}
	valid, err := m.opts.InvalidUTF8.text(*msg)
	if err == nil && frame.Size(len(valid.Payload)) > m.maxFrame() {
		return ErrMessageTooBig // with the replacements
	}
	msg.Payload = valid.Payload
	return err
}

// frame returns the unmasked frame of p in an encoding, if this Manager can send it.
func (m *Manager) frame(p *Prepared, e broadcast.Encoding) ([]byte, error) {
	return p.frame(e, &m.compressor, m.maxFrame(), m.opts.InvalidUTF8)
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
