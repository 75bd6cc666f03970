package hub

import (
	"context"
	"errors"
)

// errSocketGone stops the reader of a socket that has ended while a message waited for space. The message was not handled.
var errSocketGone = errors.New("hub: the socket has ended while a message waited")

// awaitSpaceLocked blocks the reader of s, and so slows the client down, while full returns true. It returns errSocketGone
// if the connection is closing or continues on another socket, and as soon as the socket has ended: a client that leaves must
// not keep its connection. It fails with ErrTooManyCalls if stuck returns true: then only further messages of the client
// could make space, which the reader would not receive.
func (c *conn) awaitSpaceLocked(s *serverSocket, full, stuck func() bool) error {
	if c.closing || s.goneLocked() {
		return errSocketGone
	}
	if !full() {
		return nil
	}
	if stuck() {
		return ErrTooManyCalls
	}
	startDeferredLocked(c)
	c.session.setReadPaused(true)
	defer c.session.setReadPaused(false)
	defer context.AfterFunc(s.ws.Context(), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		s.ended = true
		c.changed.Broadcast()
	})()
	for full() {
		if stuck() {
			return ErrTooManyCalls
		}
		c.changed.Wait()
		if c.closing || s.goneLocked() {
			return errSocketGone
		}
	}
	return nil
}

// goneLocked reports whether the socket has ended, as far as it is known, or the connection continues on another one.
func (s *serverSocket) goneLocked() bool { return s.ended || s.conn.session.socket.Load() != s.ws }

// stuckLocked reports whether no pending call can end without further messages of the client.
func (c *conn) stuckLocked() bool {
	if c.connecting {
		return c.hookWaits > 0
	}
	return c.slots.active == 0 && c.slots.reacquiring == 0 && c.uploadItems == 0
}
