package wsmanager

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// closeMode is how a connection goes from open to cut.
type closeMode uint8

const (
	// closeGraceful: what is queued goes out, then the close frame; the peer
	// answers with its own; then the transport is closed.
	closeGraceful closeMode = iota

	// closeFail: what is queued is dropped, the close frame goes out at once and
	// our direction is shut (RFC 6455, section 7.1.7). OnClose does not wait for
	// the peer. What it still sends is read and thrown away until it has seen
	// the end, because closing with unread bytes would reset the connection and
	// take the close frame with it.
	closeFail

	// closeReply: the peer's close frame has come; ours goes out as soon as it
	// can, then the transport is closed.
	closeReply
)

func checkClose(code StatusCode, reason string) error {
	if !code.valid() {
		return fmt.Errorf("wsmanager: a close frame can't carry the code %d", code)
	}
	if len(reason) > maxCloseReason {
		return fmt.Errorf("wsmanager: the reason has %d bytes, a close frame takes %d", len(reason), maxCloseReason)
	}
	if !utf8.ValidString(reason) {
		return errors.New("wsmanager: the reason is not valid UTF-8")
	}
	return nil
}

// callbackError is what OnClose gets.
func (e *CloseError) callbackError() error {
	if e == nil || e.orderly() {
		return nil
	}
	return e
}

// close begins to close the connection, unless it is closing.
func (c *Conn) close(cause *CloseError, mode closeMode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeLocked(cause, mode)
}

func (c *Conn) closeLocked(cause *CloseError, mode closeMode) {
	if c.state != stateOpen {
		return
	}
	c.state, c.mode, c.cause = stateClosing, mode, cause
	c.closing.Store(true)
	c.closeDue = c.m.wheel.after(c.m.opts.CloseTimeout)
	o := &c.out
	o.pong, o.ping = nil, false // nothing may follow a close frame
	c.failWaitersLocked()
	if mode != closeGraceful {
		c.dropLocked()
	}
	o.closing = closeFrame(cause.Code, cause.Reason)
	if c.t == nil {
		return // the handshake is not through; attach flushes
	}
	c.scheduleLocked()
	c.flushLocked()
	if mode == closeFail && c.state != stateCut {
		c.t.interrupt() // OnClose does not wait for what the peer does
	}
}

// dropLocked throws away the data that waits; what is on its way stays.
func (c *Conn) dropLocked() {
	o := &c.out
	if n := len(o.frames); n > 0 {
		c.m.stats.drop(dropClosed, n)
	}
	o.frames, o.bytes = nil, 0
}

// peerClosed answers the peer's close frame; it is called by the reader.
func (c *Conn) peerClosed(code StatusCode, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.state {
	case stateOpen:
		c.closeLocked(&CloseError{Code: code, Reason: reason, Remote: true}, closeReply)
	case stateClosing:
		if c.mode == closeGraceful {
			// Its close frame answers ours, or crossed it. It reads no more
			// data, so ours goes out now if it has not yet.
			c.mode = closeReply
			c.dropLocked()
			if c.out.closeSent {
				c.cutLocked(nil)
			} else {
				c.flushLocked()
			}
		}
	}
}

// closeSentLocked goes on when the close frame has been written.
func (c *Conn) closeSentLocked() {
	c.out.closeSent = true
	if c.state != stateClosing {
		return
	}
	switch c.mode {
	case closeReply:
		c.cutLocked(nil)
	case closeFail:
		// An error means that the connection is gone, which the reader sees.
		_ = c.t.closeWrite()
	}
}

// cutLocked closes the transport. The cause counts only if nothing has begun to
// end the connection before.
func (c *Conn) cutLocked(cause *CloseError) {
	if c.state == stateCut {
		return
	}
	if c.state == stateOpen {
		c.cause = cause
	}
	c.state = stateCut
	c.closing.Store(true)
	c.failWaitersLocked()
	c.dropLocked()
	c.out.rest, c.out.pong, c.out.closing = nil, nil, nil
	if c.t != nil {
		_ = c.t.close() // there is nothing to do about an error: it is gone either way
	}
}
