package hub

import (
	"errors"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/token"
)

// A client of a stateful connection may lose a socket at any time, and tries again with its token at once. The server may not
// have noticed the end yet, or not even the beginning. So such a token may have several sockets at a time that have not
// completed the handshake, and the latest counts. The first one that completes it makes the connection, which the sockets
// that connect afterwards resume. Nothing is kept of a socket that ends before its handshake.

// errSocketReplaced is why a connection ends that had not completed its handshake when a later socket came.
var errSocketReplaced = errors.New("hub: a later socket has replaced the connection before its handshake")

// begin begins the connection of a first socket. It returns false if the socket has no connection, or resumes another one:
// then s.renewed is set.
func (s *serverSocket) begin() bool {
	c := s.conn
	if c.id = s.ws.ID(); c.ticket != nil {
		c.id = c.ticket.id
	}
	c.socket, c.attempt = s.ws, s.attempt
	c.life.Init(c.ctx)
	c.ctx = &c.life
	c.session.installed(s.ws)
	if other, resumes := takeTicket(c); other != c {
		loseEarly(c)
		c.end(errSocketReplaced)
		if resumes {
			identity := identityOf(c) // the rest of c is garbage
			s.conn, s.renewed = other, &identity
		}
		return false
	}
	c.mu.Lock()
	if !c.closing { // another socket may have replaced this one
		c.timer = time.AfterFunc(c.hub.opts.HandshakeTimeout, c.checkTimers)
	}
	c.mu.Unlock()
	c.expireAt(identityOf(c).Expires)
	return true
}

// takeTicket makes c the connection of its ticket and returns it. If the ticket has another connection that stays,
// takeTicket returns that one, and whether the socket of c may resume it.
func takeTicket(c *conn) (owner *conn, resumes bool) {
	t := &c.hub.tickets
	other, state := t.used(c.ticket, c)
	switch state {
	case token.Fresh:
		return c, false
	case token.Invalid:
		return nil, false
	}
	replaced, resumes := giveWay(other, c.attempt)
	if !replaced {
		return other, resumes && other.session.replay.mayResume()
	}
	t.replace(c.ticket, c)
	_ = other.socket.Close(wsmanager.StatusNormalClosure, "") // fails for invalid codes only
	other.end(errSocketReplaced)
	return c, false
}

// giveWay decides whether the socket of a later attempt replaces the connection, or may resume it.
func giveWay(c *conn, attempt uint64) (replaced, resumes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ready:
		return false, !c.closing && c.session.replay != nil
	case c.closing && !c.lost, attempt < c.attempt:
		return false, false
	}
	c.closing, c.lost = true, true
	return true, false
}

// loseEarly reports whether the connection had not completed its handshake, so that its token may begin another. It gets no
// handshake afterwards.
func loseEarly(c *conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ready || c.closing || c.ticket == nil || !c.ticket.Stateful {
		return false
	}
	c.closing, c.lost = true, true
	return true
}

// awaitsHandshake reports whether a later socket may replace the connection.
func awaitsHandshake(c *conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.ready && (!c.closing || c.lost)
}
