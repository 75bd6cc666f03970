package wsmanager

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/internal/counters"
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

	reception reception // changes under mu
	delivered uint32    // number of the last broadcast to all that was sent to it; guarded by mu

	// mu guards the fields below, except the receiver, which belongs to the reader. It comes
	// before the locks of registry, groups, wheel and broadcast queues.
	mu          sync.Mutex
	out         sender
	in          receiver
	life        lifecycle
	memberships *memberships // nil until it is in a group

	entry timewheel.Entry[*session] // guarded by the wheel's lock
	next  *session                  // guarded by the lock of the registry's shard
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

// newConn makes a connection that is not registered yet.
func (m *Manager) newConn(id string, a Accept, state *tls.ConnectionState, remote string) *Conn {
	c := &Conn{
		m: m, id: id, who: &anonymous,
		since: m.wheel.Elapsed(),
		out: sender{
			cfg:       &m.sending,
			transport: &handshaking{remote: textAddr(remote)},
			policy:    m.opts.SlowConsumer,
			stripe:    uint8(m.joined.Add(1) % counters.Stripes),
		},
		in: receiver{limits: newRateLimits(m.opts.MessageRate, m.opts.MessageBurst)},
	}
	if a.SlowConsumer != 0 {
		c.out.policy = a.SlowConsumer
	}
	if a.User != "" || a.Value != nil || a.Subprotocol != "" || state != nil {
		c.who = &identity{user: a.User, value: a.Value, subprotocol: a.Subprotocol, tls: state}
	}
	return c
}

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
	return c.out.transport.RemoteAddr()
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
// slowly (see [SlowConsumer]), and ErrMessageTooBig or ErrMessageType for messages that
// cannot be sent. nil does not mean that the peer has received the message.
func (c *Conn) Send(m Message) error {
	if len(m.Payload) > maxPooledFrame && c.m.keys == nil {
		if sent, err := sendBig(c, m); sent || err != nil {
			return err
		}
	}
	buf, err := c.encode(m)
	if err != nil {
		return err
	}
	err = c.session().send(*buf, false)
	putFrame(buf)
	return err
}

// Close begins to close the connection: messages that were sent before are written first,
// then a close frame with the code and reason, and the peer answers with its own. After
// Options.Timeouts.Close the connection is cut; if the peer has not taken any queued byte for a
// second, it is cut at once. Close does not wait; OnClose is called at the end. On a
// connection that is closing it does nothing.
//
// It returns an error, and does nothing, if a close frame cannot carry the code (valid are
// 1000 to 1003, 1007 to 1014, and 3000 to 4999) or the reason is longer than 123 bytes.
func (c *Conn) Close(code StatusCode, reason string) error {
	if err := checkClose(code, reason); err != nil {
		return err
	}
	c.session().closeAfter(nil, &CloseError{Code: code, Reason: reason})
	return nil
}

// CloseWith is Close with a last message before the close frame. No other message is sent
// between the two. The message is sent even if the outbox is full. Its payload may be reused
// when CloseWith returns. The errors are those of Close, and ErrMessageTooBig and
// ErrMessageType for the message; with an error CloseWith has done nothing.
func (c *Conn) CloseWith(last Message, code StatusCode, reason string) error {
	if err := checkClose(code, reason); err != nil {
		return err
	}
	buf, err := c.encode(last)
	if err != nil {
		return err
	}
	c.session().closeAfter(*buf, &CloseError{Code: code, Reason: reason})
	putFrame(buf)
	return nil
}
