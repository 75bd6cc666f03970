package wsmanager

import (
	"fmt"
	"net"

	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// Driver is how a Manager's connections wait for messages, and on which
// goroutines their callbacks run. The contract of the callbacks is the same.
type Driver uint8

const (
	// DriverAuto is the event loop where it can serve, and goroutines elsewhere.
	DriverAuto Driver = iota

	// DriverGoroutine gives each connection a goroutine that waits in a read. It
	// serves everything that can be accepted, everywhere.
	DriverGoroutine

	// DriverEventLoop waits for all connections with one goroutine, which also
	// calls their callbacks as long as these return soon; one that takes its time
	// goes on in a goroutine of its own and holds up nobody else. An idle connection
	// has neither goroutine nor buffer. It exists on Linux, for plain TCP: for
	// connections whose type is exactly *net.TCPConn, since types that embed one may
	// count or slow what goes through them. What it can't serve is refused.
	DriverEventLoop
)

// String returns "auto", "goroutine" or "eventloop".
func (d Driver) String() string {
	switch d {
	case DriverAuto:
		return "auto"
	case DriverGoroutine:
		return "goroutine"
	case DriverEventLoop:
		return "eventloop"
	}
	return fmt.Sprintf("Driver(%d)", uint8(d))
}

// driver says when a connection is readable, and on which goroutine its
// callbacks run. It calls Conn.open once, with the bytes that came with the
// handshake, then Conn.consume with what it reads, then Conn.finish, Conn.release and
// Conn.dismiss, never two of these at a time. But when open or consume is in a callback
// that takes its time, readOn goes on beside it, and nothing follows for the goroutine
// that it was taken from.
type driver interface {
	// start begins with a connection whose handshake went out. early is what came
	// after the handshake's request in the same segment.
	start(c *Conn, early []byte)

	// serve is start for a caller who waits until the connection has ended and
	// its transport is closed.
	serve(c *Conn, early []byte)
	// readOn is called on a goroutine of its own when the connection was taken from its
	// reader. rest is what that had read and not handled; the tenure is the new one's.
	readOn(c *Conn, rest []byte, tenure uint32)
}

// takeable is a transport that gives itself to another reader. All other transports are
// read by a goroutine, and another goroutine can replace it at any time.
type takeable interface {
	// take makes the returned driver the reader, while the present one is in a callback or
	// has not begun to read. The present reader must not use the transport when the callback
	// has returned. false: it is too early to take it.
	take() (driver, bool)
}

// takeReader returns the driver that reads the transport instead of the present reader.
// false: it is too early to replace that.
func takeReader(t transport.Transport) (driver, bool) {
	if t, ok := t.(takeable); ok {
		return t.take()
	}
	return goroutineDriver{}, true
}

// drive makes the transport and the driver for the socket of c. The socket belongs to the
// transport then.
func (m *Manager) drive(c *Conn, conn net.Conn) (transport.Transport, driver, error) {
	if m.loops != nil {
		t, d, err := m.loops.newTransport(c, conn)
		if err == nil {
			return t, d, nil
		}
		if m.opts.Driver == DriverEventLoop {
			return nil, nil, fmt.Errorf("the event loop can't serve a %T: %w", conn, err)
		}
	}
	return transport.New(conn, c.RemoteAddr()), goroutineDriver{}, nil
}
