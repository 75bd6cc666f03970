package hub

import (
	"errors"
	"fmt"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// received handles wsmanager's OnPiece.
func (s *serverSocket) received(p wsmanager.Piece) {
	c := s.conn
	c.readMu.Lock()
	defer c.readMu.Unlock()
	if c.socketGone(s) {
		return
	}
	err := c.session.receive(s, &s.records, p.Type, p.Data)
	switch {
	case err == nil, errors.Is(err, errSocketGone):
	case !c.session.handshakeDone:
		c.refuseHandshake(s.ws, "Handshake was canceled.", err)
	default:
		c.violation(err)
	}
}

// webSocket implements inbound.
func (s *serverSocket) webSocket() *wsmanager.Conn { return s.ws }

// active implements inbound.
func (s *serverSocket) active() bool { return !s.conn.socketGone(s) }

// socketGone reports whether messages of the socket do not count any more.
func (c *conn) socketGone(s *serverSocket) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing || s.goneLocked()
}

// violation ends the connection of a client that breaks the protocol or exceeds a limit.
func (c *conn) violation(err error) {
	text := "The message could not be read."
	switch {
	case errors.Is(err, ErrRecordTooBig):
		text = fmt.Sprintf("The maximum message size of %dB was exceeded.", c.hub.opts.MaxReceiveSize)
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
		return c.enqueue(s, m)
	case *StreamItem:
		_, err := c.deliverUpload(s, m.ID, element{item: m.Item})
		return err
	case *Completion:
		// Streams come first: ids of invocations have a prefix that clients do not use, see conn.invoke.
		found, err := c.deliverUpload(s, m.ID, element{end: true, failure: m.Error})
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
