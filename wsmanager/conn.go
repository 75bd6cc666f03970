package wsmanager

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/outbox"
	"github.com/speakingtube/speakingtube/wsmanager/internal/timewheel"
	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// Conn is one WebSocket connection of a Manager. All methods are safe for
// concurrent use and may be called from inside any callback.
//
// Most connections are idle most of the time, so what an idle one does not need
// is behind pointers that are nil until it does.
type Conn struct {
	// Static from registration on.
	m      *Manager
	id     string
	who    *identity
	since  time.Duration // the wheel's time
	policy SlowConsumer
	stripe uint8 // of the Manager's traffic counters

	// Guarded by mu.
	state    connState
	mode     closeMode
	attached bool // the handshake went out: t is there
	ended    bool // OnClose is due or done
	left     bool // out of all groups for good

	// Atomic.
	calling    atomic.Uint32 // whether a callback runs, and whose; see callRuns
	reception  reception     // changes under mu
	unanswered atomic.Int32  // pings of ours

	delivered uint32       // the number of the last broadcast to all that it got; guarded by mu
	lastRead  atomic.Int64 // ticks of the wheel

	// Owned by the reader.
	frames  *frame.Reader // nil between messages
	inbound *inbound      // nil until there is something to limit

	mu          sync.Mutex          // guards what follows; comes before the locks of registry, groups, wheel and broadcast queues
	t           transport.Transport // static once attached; a *handshaking before
	memberships *memberships        // nil until it is in a group
	out         *outbox.Queue       // nil while nothing waits
	rare        *rare               // nil until something ends the connection, or asks for its Context
	pingDue     int64               // ticks of the wheel

	wheel timewheel.Entry[*wheelConn] // guarded by the wheel's lock
	next  *Conn                       // guarded by the registry's lock
}

// identity is what the handshake said about a connection.
type identity struct {
	user        string
	value       any
	subprotocol string
	tls         *tls.ConnectionState
	deflate     bool // permessage-deflate was agreed on
}

// anonymous is the identity of all about whom nothing was said, anonymousDeflate
// that of those who only agreed on compression.
var (
	anonymous        identity
	anonymousDeflate = identity{deflate: true}
)

// rare is what most connections never need before their end.
type rare struct {
	ctx    context.Context // nil until somebody asks
	cancel context.CancelCauseFunc

	cause     *CloseError // why it ends; set with the first change of state
	late      error       // what went wrong when it was closing already
	stack     []byte      // of a callback that panicked
	closeSent bool        // our close frame
	due       int64       // when it is cut, in ticks of the wheel

	taken  *takeover     // while a callback that took its time keeps the reader from calling any
	tenure uint32        // which reader this is, the first being 0
	over   chan struct{} // closed at the end; made when the first reader is none any more
}

// connState only goes forward.
type connState uint8

const (
	stateOpen    connState = iota
	stateClosing           // a close frame is queued or sent; nothing else is sent any more
	stateCut               // the transport is closed
)

// handshaking stands for the transport until attach. Only the address of the peer is known,
// so all other methods panic.
type handshaking struct {
	transport.Transport
	remote textAddr
}

func (h *handshaking) RemoteAddr() net.Addr { return h.remote }

// newConn makes a connection that is to be registered.
func (m *Manager) newConn(id string, a Accept, state *tls.ConnectionState, remote string) *Conn {
	c := &Conn{
		m: m, id: id, who: &anonymous,
		since:   m.wheel.Elapsed(),
		policy:  m.opts.SlowConsumer,
		inbound: m.opts.newInbound(),
		stripe:  uint8(m.joined.Add(1) % counterStripes),
		t:       &handshaking{remote: textAddr(remote)},
	}
	if a.SlowConsumer != 0 {
		c.policy = a.SlowConsumer
	}
	if a.User != "" || a.Value != nil || a.Subprotocol != "" || state != nil {
		c.who = &identity{user: a.User, value: a.Value, subprotocol: a.Subprotocol, tls: state}
	}
	return c
}

// textAddr is an address of which only the text is known.
type textAddr string

func (textAddr) Network() string  { return "tcp" }
func (a textAddr) String() string { return string(a) }

// traffic returns the stripe of c.
func (c *Conn) traffic() *traffic { return &c.m.stats.traffic[c.stripe] }

// ID returns the connection's id: 128 bits of random text, unique for good; with a
// backplane, "-" and the id of the Manager's node follow. It is an address, not a
// secret: it authorises nothing.
func (c *Conn) ID() string { return c.id }

// Manager returns the Manager that the connection belongs to.
func (c *Conn) Manager() *Manager { return c.m }

// User returns the identity that OnAccept gave in Accept.User, or "".
func (c *Conn) User() string { return c.who.user }

// Subprotocol returns the sub-protocol that OnAccept chose, or "".
func (c *Conn) Subprotocol() string { return c.who.subprotocol }

// TLS returns the state of the TLS connection, or nil if there is none.
func (c *Conn) TLS() *tls.ConnectionState { return c.who.tls }

// RemoteAddr returns the address of the socket's other end: a proxy's, where
// there is one.
func (c *Conn) RemoteAddr() net.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t.RemoteAddr()
}

// Context returns a context that ends with the connection, with OnClose's error
// as its cause (context.Canceled where that is nil): before OnClose is called, and
// while another callback runs, when the connection is cut, and within a second of the
// peer's close frame or end. It is derived from Options.BaseContext, not from the
// request's.
func (c *Conn) Context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.rareLocked()
	if r.ctx == nil {
		r.ctx, r.cancel = context.WithCancelCause(c.m.opts.BaseContext)
		if c.ended || c.state == stateCut {
			r.cancel(r.cause.callbackError())
		}
	}
	return r.ctx
}

// Close begins to close the connection: what was sent before goes out first,
// then a close frame with the code and reason, then the peer answers with its
// own. Whatever of that has not happened after Options.CloseTimeout is cut off; a
// peer that has taken none of what waits for it for a second is cut off at once.
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
	c.closeAfter(nil, &CloseError{Code: code, Reason: reason})
	return nil
}

// CloseWith is Close with a last message before the close frame: whatever others send
// meanwhile, nothing comes between the two. The message goes out even if the outbox is
// full. CloseWith has taken the bytes of its payload when it returns. Its errors are
// those of Close, and ErrMessageTooBig and ErrMessageType for the message; it does
// nothing then.
func (c *Conn) CloseWith(last Message, code StatusCode, reason string) error {
	if err := checkClose(code, reason); err != nil {
		return err
	}
	buf, err := c.encode(last)
	if err != nil {
		return err
	}
	c.closeAfter(*buf, &CloseError{Code: code, Reason: reason})
	putFrame(buf)
	return nil
}

// closeAfter begins to close the connection, with a last message's frame if there is one.
func (c *Conn) closeAfter(last []byte, cause *CloseError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if since, ok := c.writeStuckSince(); ok && c.m.wheel.Elapsed()-since >= c.m.stuckAfter {
		c.cutLocked(cause) // it does not read, so it would not read this either
		return
	}
	if len(last) > 0 && c.state == stateOpen {
		c.m.broadcaster.endReceptionLocked(c, true) // no broadcast comes between the message and the close frame
		if sent, err := c.writeLocked(last, false); !sent && err == nil {
			c.pushLocked(last, 0, false)
		}
	}
	c.closeLocked(cause, closeGraceful)
}
