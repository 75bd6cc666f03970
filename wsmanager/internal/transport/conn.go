package transport

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// netConn is the transport over any net.Conn. It is a BlockingWriter, because crypto/tls
// and wrappers of connections cannot write without blocking. The net.Conn may belong to the
// application, so a panic of one of its methods becomes a *PanicError.
//
// A read needs a buffer while it waits, because crypto/tls offers no readiness check. Most
// messages need a small one only. After a read that has filled its buffer, the next one
// takes a big one.
type netConn struct {
	conn   net.Conn
	full   bool        // the last read filled its buffer; owned by the reader
	closed atomic.Bool // Close was called
}

// newConn makes the transport over any net.Conn. remote is its address if conn does not
// know one.
func newConn(conn net.Conn, remote net.Addr) Transport {
	if remoteAddr(conn) == nil {
		return &addressedConn{netConn{conn: conn}, remote}
	}
	return &netConn{conn: conn}
}

// addressedConn is a netConn whose connection does not know the address of the peer.
type addressedConn struct {
	netConn
	remote net.Addr
}

// RemoteAddr implements Transport.
func (t *addressedConn) RemoteAddr() net.Addr { return t.remote }

// Read implements Reader.
func (t *netConn) Read(r Receiver) error {
	if p := r.Space(); p != nil {
		return t.readInto(p, r)
	}
	if t.full {
		buf := readBuffers.Get().(*[readBufferSize]byte)
		defer readBuffers.Put(buf)
		return t.readInto(buf[:], r)
	}
	buf := idleBuffers.Get().(*[idleBufferSize]byte)
	defer idleBuffers.Put(buf)
	return t.readInto(buf[:], r)
}

// readInto has no call of its own for the guarded read: the stack of an idle reader is kept
// small.
func (t *netConn) readInto(buf []byte, r Receiver) (err error) {
	reading := true
	defer func() {
		if reading {
			recovered(recover(), t.conn, "Read", &err)
		}
	}()
	n, err := t.conn.Read(buf)
	checkCount(n, len(buf))
	reading = false
	t.full = n == len(buf)
	if n > 0 {
		if err := r.Receive(buf[:n]); err != nil {
			return err
		}
	}
	if err != nil && t.closed.Load() {
		return net.ErrClosed // Close may have ended the read with a deadline
	}
	return readError(err)
}

// Write implements BlockingWriter.
func (t *netConn) Write(p []byte, progress func()) (written int, err error) {
	for written < len(p) {
		n, err := t.writeOnce(p[written:min(len(p), written+writePiece)])
		written += n
		switch {
		case err != nil:
			return written, err
		case n == 0:
			return written, io.ErrShortWrite // a repetition may have no end
		}
		progress()
	}
	return written, nil
}

func (t *netConn) writeOnce(p []byte) (n int, err error) {
	defer func() { recovered(recover(), t.conn, "Write", &err) }()
	written, err := t.conn.Write(p)
	checkCount(written, len(p))
	return written, err
}

// Interrupt implements Transport. An error of SetReadDeadline means that the connection is
// closed, which the next read reports.
func (t *netConn) Interrupt() (err error) {
	defer func() { recovered(recover(), t.conn, "SetReadDeadline", &err) }()
	_ = t.conn.SetReadDeadline(past)
	return nil
}

// Resume implements Reader.
func (t *netConn) Resume() (err error) {
	defer func() { recovered(recover(), t.conn, "SetReadDeadline", &err) }()
	_ = t.conn.SetReadDeadline(time.Time{})
	return nil
}

// CloseWrite implements Transport.
func (t *netConn) CloseWrite() (err error) {
	defer func() { recovered(recover(), t.conn, "CloseWrite", &err) }()
	return closeWrite(Socket(t.conn))
}

// Close implements Transport. If the connection's Close panics, a deadline ends reads and
// writes in progress.
func (t *netConn) Close() error {
	t.closed.Store(true)
	err := t.closeSocket()
	if AsPanic(err) != nil {
		_ = t.expire()
	}
	return err
}

func (t *netConn) closeSocket() (err error) {
	defer func() { recovered(recover(), t.conn, "Close", &err) }()
	return Socket(t.conn).Close()
}

func (t *netConn) expire() (err error) {
	defer func() { recovered(recover(), t.conn, "SetDeadline", &err) }()
	return t.conn.SetDeadline(past)
}

// Expire ends all reads and writes of a connection that is in no transport yet, with a
// deadline. If the connection has no deadlines, it is closed, without the alert of TLS. The
// only error is a *PanicError.
func Expire(conn net.Conn) error {
	t := &netConn{conn: conn}
	if err := t.expire(); err != nil {
		if p := AsPanic(errors.Join(err, t.closeSocket())); p != nil {
			return p
		}
	}
	return nil
}

// RemoteAddr implements Transport. It returns an empty address if the connection has none.
func (t *netConn) RemoteAddr() net.Addr {
	if addr := remoteAddr(t.conn); addr != nil {
		return addr
	}
	return unknownAddr{}
}

// remoteAddr returns nil also if the method of conn panics.
func remoteAddr(conn net.Conn) (addr net.Addr) {
	defer func() {
		if recover() != nil {
			addr = nil
		}
	}()
	return conn.RemoteAddr()
}

type unknownAddr struct{}

func (unknownAddr) Network() string { return "tcp" }
func (unknownAddr) String() string  { return "" }

// Socket returns the connection below TLS, which can be closed without blocking. Close of
// tls.Conn waits up to 5 seconds to send its alert to a peer that does not read; the
// WebSocket's close frame has told the peer already, if it could be sent.
func Socket(conn net.Conn) net.Conn {
	for {
		tc, ok := conn.(*tls.Conn)
		if !ok {
			return conn
		}
		conn = tc.NetConn() // may be TLS as well, to a proxy
	}
}
