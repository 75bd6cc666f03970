package hub

import (
	"errors"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/cutter"
)

// received handles wsmanager's OnPiece.
func (s *serverSocket) received(p wsmanager.Piece) {
	c := s.conn
	c.readMu.Lock()
	defer c.readMu.Unlock()
	if c.socketGone(s) {
		return
	}
	var whole cutter.Cutter // of a piece that begins and ends with records
	records := &whole
	if s.records != nil {
		records = s.records
	}
	err := c.session.receive(s, records, p.Type, p.Data)
	s.keep(records)
	switch {
	case err == nil, errors.Is(err, errSocketGone):
	case !c.session.handshakeDone:
		c.refuseHandshake(s.ws, "Handshake was canceled.", err)
	default:
		c.closeWithError(wsmanager.StatusNormalClosure, inContext("invalid message of the client", quoting(err)))
	}
}

// keep keeps what a Cutter holds for the next piece.
func (s *serverSocket) keep(records *cutter.Cutter) {
	switch {
	case records.Held() == 0:
		s.records = nil
	case s.records == nil:
		kept := *records
		s.records = &kept
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
		c.close(&Close{}, wsmanager.StatusNormalClosure, errClientClosed)
	}
	return nil
}
