package wsmanager

import (
	"errors"
	"fmt"
	"net"

	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// Driver decides how the connections of a Manager wait for messages, and on which
// goroutines their callbacks run. The contract of the callbacks is the same for all drivers.
type Driver uint8

const (
	// DriverAuto is DriverEventLoop for the connections that it can serve, and
	// DriverGoroutine for all others.
	DriverAuto Driver = iota

	// DriverGoroutine gives each connection a goroutine that waits in a read. It serves all
	// connections on all systems.
	DriverGoroutine

	// DriverEventLoop waits for all connections with one goroutine, which also calls
	// their callbacks. A callback that does not return soon continues on a goroutine of its
	// own, so that it does not delay other connections. An idle connection has neither a
	// goroutine nor a buffer.
	//
	// It exists on Linux, for plain TCP: for connections whose type is exactly *net.TCPConn,
	// because types that embed one may count or slow down the bytes that pass through
	// them. All other connections are refused.
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

// driver reads a connection, and decides on which goroutine its callbacks run. It calls
// session.open once, with the bytes that came with the handshake, then session.consume with
// the bytes that it reads, then session.finish, session.release and session.released. It makes one of these
// calls at a time, with one exception: while a callback in open or consume does not return,
// readOn continues on another goroutine. The goroutine of that callback makes no further
// call then.
type driver interface {
	// start begins to read a connection after its handshake. early has the bytes that
	// came behind the handshake's request.
	start(c *Conn, early []byte)

	// serve is start, and returns when the connection has ended and its transport is
	// closed.
	serve(c *Conn, early []byte)

	// readOn replaces the reader of a connection. It is called on a goroutine of its own.
	// rest has the bytes that the former reader has read and not handled; nil if it has
	// handled everything. tenure is the number of the new reader.
	readOn(c *Conn, rest []byte, tenure uint32)
}

// takeable is a transport.Loop. All other transports are read by a goroutine, and another
// goroutine can replace it at any time.
type takeable interface {
	// Take ends the reading by the loop, while a callback runs or before the loop has begun
	// to read. The present reader must not use the transport when the callback has
	// returned. false: it is too early.
	Take() bool
}

// errNotPlainTCP is the reason why the event loop does not serve a connection.
var errNotPlainTCP = errors.New("it is not a plain TCP connection")

// takeReader returns the driver that reads the transport instead of the present reader.
// false: it is too early to replace that.
func takeReader(t transport.Transport) (driver, bool) {
	l, ok := t.(takeable)
	switch {
	case !ok:
		return goroutineDriver{}, true
	case !l.Take():
		return nil, false
	}
	return loopDriverOf(t), true
}

// drive makes the transport and the driver for the socket of c. The socket belongs to the
// transport then.
func (m *Manager) drive(c *Conn, conn net.Conn) (transport.Transport, driver, error) {
	if m.loops != nil {
		t, d, err := m.newLoopTransport(c, conn)
		if err == nil {
			return t, d, nil
		}
		if m.opts.Driver == DriverEventLoop {
			return nil, nil, fmt.Errorf("the event loop can't serve a %T: %w", conn, err)
		}
	}
	return transport.New(conn, c.RemoteAddr()), goroutineDriver{}, nil
}
