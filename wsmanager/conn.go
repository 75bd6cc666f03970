package wsmanager

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/broadcast"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/sender"
	"github.com/speakingtube/speakingtube/wsmanager/internal/timewheel"
)

// Conn is one WebSocket connection of a Manager. All methods are safe for concurrent use and
// may be called in any callback.
type Conn struct {
	// Static from registration on.
	m     *Manager
	id    string
	who   *identity
	since time.Duration // when it was made, since the wheel's zero

	reception broadcast.Reception[*broadcastConn] // changes under mu

	// mu guards the fields below, except the receiver, which belongs to the reader. It comes
	// before the locks of registry, groups, wheel and broadcast queues.
	mu   sync.Mutex
	out  sender.Sender
	in   receiver
	life lifecycle

	entry timewheel.Entry[*session] // guarded by the wheel's lock
	next  *broadcastConn            // guarded by the lock of the registry's shard
}

// identity is the result of the handshake.
type identity struct {
	user        string
	value       any
	subprotocol string
	tls         *tls.ConnectionState
	deflate     bool // permessage-deflate was agreed on
}

// Most connections share one of these: anonymous has no value at all, anonymousDeflate has
// only agreed on compression.
var (
	anonymous        identity
	anonymousDeflate = identity{deflate: true}
)

// ID returns the connection's id: 128 bits of random text, which are never used again. With a
// backplane, "-" and the id of the Manager's node follow. It is an address, not a secret:
// knowing it authorises nothing.
func (c *Conn) ID() string { return c.id }

// Manager returns the Manager to which the connection belongs.
func (c *Conn) Manager() *Manager { return c.m }

// User returns Accept.User, which OnAccept has set, or "".
func (c *Conn) User() string { return c.who.user }

// Subprotocol returns the sub-protocol that OnAccept chose, or "".
func (c *Conn) Subprotocol() string { return c.who.subprotocol }

// TLS returns the state of the TLS connection, or nil without TLS.
func (c *Conn) TLS() *tls.ConnectionState { return c.who.tls }

// RemoteAddr returns the address of the socket's other end. Behind a proxy this is the
// address of the proxy.
func (c *Conn) RemoteAddr() net.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Transport().RemoteAddr()
}

// Context returns a context that ends with the connection: before OnClose is called, and
// while another callback runs, when the connection is cut, and within a second of the peer's
// close frame or end. Its cause is the error of OnClose (context.Canceled if that is nil). It
// is derived from Options.BaseContext, not from the context of the request.
func (c *Conn) Context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.life.context(c.m.opts.BaseContext)
}

// Send sends a message to the peer. It never blocks. The payload may be reused when it
// returns: the bytes have been written, or copied into the outbox. Messages of one goroutine
// arrive in the order of their sends.
//
// It returns ErrClosed if the connection is closing, ErrOutboxFull if the peer reads too
// slowly (see [SlowConsumer]), and ErrMessageTooBig, ErrMessageType or ErrInvalidUTF8 for
// messages that cannot be sent. nil does not mean that the peer has received the message.
func (c *Conn) Send(m Message) error {
	if sendsBig(c, &m) {
		return sendBig(c, m)
	}
	buf, err := c.encode(m)
	if err != nil {
		return err
	}
	err = c.session().send(*buf, false)
	frame.PutBuffer(buf)
	return err
}

// Close begins to close the connection: messages that were sent before are written first,
// then a close frame with the code and reason, and the peer answers with its own. After
// Options.Timeouts.Close the connection is cut; if the peer has not taken any queued byte for a
// second, it is cut at once. Close does not wait; OnClose is called at the end. On a
// connection that is closing it does nothing.
//
// It returns an error, and does nothing, if a close frame cannot carry the code (valid are
// 1000 to 1003, 1007 to 1014, and 3000 to 4999), or the reason is longer than 123 bytes or,
// without [InvalidUTF8Replace], not valid UTF-8.
func (c *Conn) Close(code StatusCode, reason string) error {
	reason = c.m.opts.InvalidUTF8.reason(reason)
	if err := checkClose(code, reason); err != nil {
		return err
	}
	c.session().closeAfter(nil, &CloseError{Code: code, Reason: reason})
	return nil
}

// CloseWith is Close with a last message before the close frame. No other message is sent
// between the two. The message is sent even if the outbox is full. Its payload may be reused
// when CloseWith returns. The errors are those of Close, and ErrMessageTooBig, ErrMessageType
// and ErrInvalidUTF8 for the message; with an error CloseWith has done nothing.
func (c *Conn) CloseWith(last Message, code StatusCode, reason string) error {
	reason = c.m.opts.InvalidUTF8.reason(reason)
	if err := checkClose(code, reason); err != nil {
		return err
	}
	buf, err := c.encode(last)
	if err != nil {
		return err
	}
	c.session().closeAfter(*buf, &CloseError{Code: code, Reason: reason})
	frame.PutBuffer(buf)
	return nil
}

// encode makes the frame of a message for this connection. frame.PutBuffer takes the buffer back.
func (c *Conn) encode(msg Message) (*[]byte, error) {
	if err := checkOutgoing(c.m, &msg); err != nil {
		return nil, err
	}
	buf := frame.GetBuffer()
	if c.m.compressor.wants(len(msg.Payload)) && !msg.NoCompression && c.who.deflate {
		var ok bool
		if *buf, ok = c.m.compressor.append(*buf, msg.Type, msg.Payload); ok {
			if c.m.keys != nil {
				*buf = c.m.keys.Mask(*buf, 0)
			}
			return buf, nil
		}
	}
	*buf = c.m.keys.Append(*buf, ws.OpCode(msg.Type), msg.Payload)
	return buf, nil
}

// frame returns the unmasked frame of p in the connection's encoding.
func (c *Conn) frame(p *Prepared) ([]byte, error) {
	e, ok := c.reception.Encoding()
	if !ok {
		return nil, ErrNotReady
	}
	return c.m.frame(p, e)
}
