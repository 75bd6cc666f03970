package hub

import (
	"errors"
	"fmt"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// received handles wsmanager's OnMessage.
func (s *serverSocket) received(m wsmanager.Message) {
	c := s.conn
	c.readMu.Lock()
	defer c.readMu.Unlock()
	if c.session.socket.Load() != s.ws {
		return // the client has resumed on another socket
	}
	err := c.session.receive(s, &s.partial, m)
	switch {
	case err == nil:
	case !c.session.handshakeDone:
		c.refuseHandshake(s.ws, "Handshake was canceled.", err)
	default:
		c.violation(err)
	}
}

// active implements inbound.
func (s *serverSocket) active() bool { return !s.conn.isClosing() }

func (c *conn) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}

// violation ends the connection of a client that breaks the protocol or exceeds a limit.
func (c *conn) violation(err error) {
	text := "The message could not be read."
	switch {
	case errors.Is(err, ErrRecordTooBig):
		text = fmt.Sprintf("The maximum message size of %dB was exceeded.", c.hub.opts.MaxMessageSize)
	case errors.Is(err, ErrTooManyCalls):
		text = "Too many calls are waiting."
	}
	c.close(&Close{Error: c.hub.detailed(text, err, false)}, wsmanager.StatusNormalClosure, inContext("invalid message of the client", quoting(err)))
}

// handle implements inbound. It queues calls and handles all other messages at once, because calls may wait for them.
func (s *serverSocket) handle(msg Message) error {
	c := s.conn
	switch m := msg.(type) {
	case *Invocation:
		return c.enqueue(m)
	case *StreamItem:
		_, err := c.deliverUpload(m.ID, element{item: m.Item})
		return err
	case *Completion:
		// Streams come first: ids of invocations have a prefix that clients do not use, see conn.invoke.
		found, err := c.deliverUpload(m.ID, element{end: true, failure: m.Error})
		if !found {
			c.completeInvocation(m)
		}
		return err
	case *CancelInvocation:
		c.cancelCall(m.ID)
	case *Close:
		c.close(nil, wsmanager.StatusNormalClosure, errClientClosed)
	}
	return nil
}
