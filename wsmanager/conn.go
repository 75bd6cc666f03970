package wsmanager

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Conn is one WebSocket connection of a Manager. All methods are safe for
// concurrent use and may be called from inside any callback.
type Conn struct {
	// Static from registration on.
	m           *Manager
	id          string
	user        string
	value       any
	subprotocol string
	tls         *tls.ConnectionState
	since       time.Time
	policy      SlowConsumer

	// Owned by the reader.
	frames frameReader
	limits inbound

	// Atomic.
	variant    atomic.Uint32 // Variant + 1; 0 until it is ready; changes under groupsMu
	calling    atomic.Bool   // a callback has not returned
	closing    atomic.Bool   // state is not stateOpen: messages are dropped
	unanswered atomic.Int32  // pings of ours
	lastRead   atomic.Int64  // ticks of the wheel
	progress   atomic.Int64  // when the writer last got on; since the wheel's zero
	traffic    traffic

	groupsMu    sync.Mutex // guards what follows; comes before the locks of groups
	memberships []*membership
	userMember  *membership
	left        bool // out of all groups for good

	mu     sync.Mutex // guards what follows
	t      transport  // nil until the handshake went out; static then
	remote net.Addr   // as the request says until then
	state  connState
	mode   closeMode
	cause  *CloseError // why it ends; set with the first change of state
	late   error       // what went wrong when it was closing already
	stack  []byte      // of a callback that panicked
	out    outbox
	ctx    context.Context // made on first use
	cancel context.CancelCauseFunc

	// In ticks of the wheel.
	closeDue int64 // when a closing connection is cut
	pingDue  int64

	wheel wheelEntry // guarded by the wheel's lock
}

// connState only goes forward.
type connState uint8

const (
	stateOpen    connState = iota
	stateClosing           // a close frame is queued or sent; nothing else is sent any more
	stateCut               // the transport is closed
)

// ID returns the connection's id: 128 bits of random text, unique for good. It
// is an address, not a secret: it authorises nothing.
func (c *Conn) ID() string { return c.id }

// Manager returns the Manager that the connection belongs to.
func (c *Conn) Manager() *Manager { return c.m }

// Subprotocol returns the sub-protocol that OnAccept chose, or "".
func (c *Conn) Subprotocol() string { return c.subprotocol }

// RemoteAddr returns the address of the socket's other end: a proxy's, where
// there is one.
func (c *Conn) RemoteAddr() net.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.remote
}

// TLS returns the state of the TLS connection, or nil if there is none.
func (c *Conn) TLS() *tls.ConnectionState { return c.tls }

// Context returns a context that ends with the connection, with OnClose's error
// as its cause (context.Canceled where that is nil). It is done before OnClose
// is called. It is derived from Options.BaseContext, not from the request's.
func (c *Conn) Context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx == nil {
		c.ctx, c.cancel = context.WithCancelCause(c.m.opts.BaseContext)
		if c.out.ended {
			c.cancel(c.cause.callbackError())
		}
	}
	return c.ctx
}

// Close begins to close the connection: what was sent before goes out first,
// then a close frame with the code and reason, then the peer answers with its
// own. Whatever of that has not happened after Options.CloseTimeout is cut off.
// Close does not wait for it; OnClose tells when it is over. On a connection that
// is closing already it does nothing.
//
// It returns an error, and does nothing, if the code is none that a close frame
// may carry (1000 to 1003, 1007 to 1014, 3000 to 4999) or the reason is longer
// than 123 bytes.
func (c *Conn) Close(code StatusCode, reason string) error {
	if err := checkClose(code, reason); err != nil {
		return err
	}
	c.close(&CloseError{Code: code, Reason: reason}, closeGraceful)
	return nil
}
