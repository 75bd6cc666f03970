package wsmanager

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
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
	// can, then the transport is closed in good order: see bothClosedLocked.
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
	if c.m.broadcaster.endReceptionLocked(c, mode != closeFail); c.state != stateOpen {
		return // a full outbox, or a failed write, has closed it
	}
	c.state, c.mode = stateClosing, mode
	c.reception.markClosing()
	c.takenLocked().letReadLocked()
	e := c.rareLocked()
	e.cause, e.due = cause, c.m.wheel.After(c.m.opts.CloseTimeout)
	if c.out != nil {
		c.out.DropControl()
	}
	c.out.FailWaiters()
	if mode != closeGraceful {
		c.dropLocked()
	}
	closeFrame := c.m.wire(frame.NewClose(ws.StatusCode(cause.Code), cause.Reason))
	if c.mayTryLocked() {
		n, err := c.tryWriteLocked(closeFrame)
		switch {
		case err != nil:
			return
		case n == len(closeFrame):
			c.closeSentLocked()
		default:
			c.pushLocked(closeFrame, n, true)
		}
	} else {
		c.pushLocked(closeFrame, 0, true)
	}
	if !c.attached {
		return // the handshake is not through; attach flushes
	}
	c.scheduleLocked()
	if mode == closeFail && c.state != stateCut {
		c.t.Interrupt() // OnClose does not wait for what the peer does
	}
}

func (c *Conn) rareLocked() *rare {
	if c.rare == nil {
		c.rare = &rare{}
	}
	return c.rare
}

// dropLocked drops the messages of the outbox, except those in progress.
func (c *Conn) dropLocked() {
	if n := c.out.DropMessages(); n > 0 {
		c.m.stats.drop(dropClosed, n)
	}
}

// peerClosed answers the peer's close frame; it is called by the reader.
func (c *Conn) peerClosed(code StatusCode, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inputEndsLocked()
	switch c.state {
	case stateOpen:
		c.closeLocked(&CloseError{Code: code, Reason: reason, Remote: true}, closeReply)
	case stateClosing:
		if c.mode != closeReply {
			// Its close frame answers ours, or crossed it. It reads no more
			// data, so ours goes out now if it has not yet.
			c.mode = closeReply
			c.dropLocked()
			if c.rare.closeSent {
				c.bothClosedLocked()
			}
		}
	}
}

// closeSentLocked goes on when the close frame has been written.
func (c *Conn) closeSentLocked() {
	c.rare.closeSent = true
	if c.state != stateClosing {
		return
	}
	switch c.mode {
	case closeReply:
		c.bothClosedLocked()
	case closeFail:
		// An error means that the connection is gone, which the reader sees, or that
		// the peer has to end it.
		_ = c.t.CloseWrite()
	}
}

// bothClosedLocked goes on when both close frames are through (RFC 6455, section
// 7.1.1). The server ends its direction; what the peer still sends is read and thrown
// away until it has ended its own, lest a reset take our close frame with it. The
// client waits for the server to do so. Either for as long as Timeouts.Close lets it.
func (c *Conn) bothClosedLocked() {
	if c.m.keys != nil {
		return
	}
	if err := c.t.CloseWrite(); err != nil {
		c.cutLocked(nil) // it can't be said in another way
	}
}

// cutLocked closes the transport. The cause counts only if nothing has begun to
// end the connection before.
func (c *Conn) cutLocked(cause *CloseError) {
	if c.state == stateCut {
		return
	}
	if c.state == stateOpen {
		c.rareLocked().cause = cause
		c.m.broadcaster.endReceptionLocked(c, false)
	}
	c.state = stateCut
	c.reception.markClosing()
	c.takenLocked().letReadLocked()
	c.out.FailWaiters()
	if o := c.out; o != nil {
		o.DropControl()
		o.Abandon()
	}
	c.dropLocked()
	if r := c.rareLocked(); r.cancel != nil {
		r.cancel(r.cause.callbackError()) // a callback may be waiting for it
	}
	if c.attached {
		_ = c.t.Close() // there is nothing to do about an error: it is gone either way
	}
}
