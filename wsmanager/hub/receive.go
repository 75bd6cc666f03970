package hub

import (
	"errors"
	"fmt"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// receive reads a WebSocket message, which is a part of a stream of records: one, or
// several, or a part of one. The sockets of one connection take turns.
func (c *conn) receive(ws *wsmanager.Conn, m wsmanager.Message) {
	c.readMu.Lock()
	defer c.readMu.Unlock()
	if c.socket.Load() != ws {
		return // the client has left this socket for another
	}
	c.lastRead.Store(int64(c.hub.now()))
	c.reading.Store(true)
	defer func() {
		c.reading.Store(false)
		c.lastRead.Store(int64(c.hub.now()))
	}()
	data := m.Payload
	if len(c.partial) > 0 && c.partialOf == ws {
		data = append(c.partial, data...)
	}
	c.partial = nil
	limit := c.hub.opts.MaxMessageSize
	for len(data) > 0 && !c.isClosing() {
		shaken := c.protocol != nil
		cut := cutText
		if shaken {
			cut = c.protocol.Cut
		}
		record, n, err := cut(data, limit)
		switch {
		case err != nil && !shaken:
			c.refuseHandshake(ws, "Handshake was canceled.", err)
			return
		case err != nil:
			c.violation(err)
			return
		case n == 0:
			c.partial, c.partialOf = append([]byte(nil), data...), ws
			return
		case !shaken:
			c.handshake(ws, record, m.Type)
		default:
			msg, err := c.protocol.Parse(record)
			if err == nil && msg != nil {
				err = c.handle(msg)
			}
			if err != nil {
				c.violation(err)
				return
			}
		}
		data = data[n:]
	}
}

func (c *conn) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}

// violation ends the connection of a client that does not keep to the protocol, or to
// the limits.
func (c *conn) violation(err error) {
	text := "The message could not be read."
	switch {
	case errors.Is(err, ErrRecordTooBig):
		text = fmt.Sprintf("The maximum message size of %dB was exceeded.", c.hub.opts.MaxMessageSize)
	case errors.Is(err, ErrTooManyCalls):
		text = "Too many calls are waiting."
	}
	c.close(&Close{Error: c.hub.detailed(text, err, false)}, wsmanager.StatusNormalClosure, fmt.Errorf("hub: from the client: %w", err))
}

// handle handles a message. Calls are queued; all else is dealt with at once, as calls
// may wait for it.
func (c *conn) handle(msg Message) error {
	if c.replay != nil && msg.Kind().counted() && !c.replay.arrived() {
		return nil // it was handled already, before the connection broke
	}
	switch m := msg.(type) {
	case *Invocation:
		return c.enqueue(m)
	case *StreamItem:
		_, err := c.uploaded(m.ID, element{item: m.Item})
		return err
	case *Completion:
		found, err := c.uploaded(m.ID, element{end: true, failure: m.Error})
		if !found { // before the answers: see ask
			c.answered(m)
		}
		return err
	case *CancelInvocation:
		c.cancelCall(m.ID)
	case *Ping: // its arrival is all that it says
	case *Close:
		c.close(nil, wsmanager.StatusNormalClosure, errClientClosed)
	case *Ack:
		if c.replay != nil {
			return c.replay.acknowledge(m.SequenceID)
		}
	case *Sequence:
		if c.replay != nil {
			return c.replay.resync(m.SequenceID)
		}
	}
	return nil
}
