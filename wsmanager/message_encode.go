package wsmanager

// frame returns the unmasked frame of p in an encoding, if this Manager can send it.
func (m *Manager) frame(p *Prepared, e encoding) ([]byte, error) {
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
