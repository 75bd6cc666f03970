package transport

import (
	"crypto/tls"
	"net"
)

// netConn is the transport over any net.Conn. It is a BlockingWriter, because crypto/tls
// and wrappers of connections cannot write without blocking.
//
// A read needs a buffer while it waits, because crypto/tls offers no readiness check. Most
// messages need a small one only. After a read that has filled its buffer, the next one
// takes a big one.
type netConn struct {
	conn net.Conn
	full bool // the last read filled its buffer; owned by the reader
}

// newConn makes the transport over any net.Conn. remote is its address if conn does not
// know one.
func newConn(conn net.Conn, remote net.Addr) Transport {
	if conn.RemoteAddr() == nil {
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
func (t *netConn) Read(consume func(p []byte) error) error {
	if t.full {
		buf := readBuffers.Get().(*[readBufferSize]byte)
		defer readBuffers.Put(buf)
		return t.readInto(buf[:], consume)
	}
	buf := idleBuffers.Get().(*[idleBufferSize]byte)
	defer idleBuffers.Put(buf)
	return t.readInto(buf[:], consume)
}

func (t *netConn) readInto(buf []byte, consume func(p []byte) error) error {
	n, err := t.conn.Read(buf)
	t.full = n == len(buf)
	if n > 0 {
		if err := consume(buf[:n]); err != nil {
			return err
		}
	}
	return readError(err)
}

// Write implements BlockingWriter.
func (t *netConn) Write(p []byte, progress func()) (written int, err error) {
	for written < len(p) {
		n, err := t.conn.Write(p[written:min(len(p), written+writePiece)])
		written += n
		if err != nil {
			return written, err
		}
		progress()
	}
	return written, nil
}

// Interrupt implements Transport.
func (t *netConn) Interrupt() { interruptRead(t.conn) }

// Resume implements Reader.
func (t *netConn) Resume() { resumeRead(t.conn) }

// CloseWrite implements Transport.
func (t *netConn) CloseWrite() error { return closeWrite(Socket(t.conn)) }

// Close implements Transport.
func (t *netConn) Close() error { return Socket(t.conn).Close() }

// RemoteAddr implements Transport.
func (t *netConn) RemoteAddr() net.Addr { return t.conn.RemoteAddr() }

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
