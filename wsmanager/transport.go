package wsmanager

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// transport moves the bytes of one connection. It is all that the protocol core
// knows of the world outside, so that sockets, TLS, HTTP/2 streams and event
// loops fit behind it. It knows no frames.
//
// The methods for reading belong to the connection's reader; those for writing are
// never called at the same time (Conn.mu and outbox.writing see to that); the
// others may be called at any time.
type transport interface {
	// read waits for bytes and hands them to consume, in a buffer that is lent
	// for the call and may be changed. It returns consume's error, or why there
	// is nothing more to read.
	read(consume func(p []byte) error) error

	// tryWrite writes as much of p as is taken without waiting, maybe nothing.
	tryWrite(p []byte) (int, error)

	// triesWrites reports whether tryWrite can write anything at all. If so,
	// wantWritable or awaitWritable is used, otherwise write.
	triesWrites() bool

	// wantWritable asks that Conn.pump be called when tryWrite may write more, and
	// again for as long as it says so. False: the transport can't do that, and a
	// goroutine has to, by awaitWritable.
	wantWritable() bool

	// awaitWritable waits until tryWrite may write more, or until close.
	awaitWritable() error

	// write writes all of p and waits for as long as it takes, or until close.
	// It calls progress whenever a part of it is out, and returns how much is.
	write(p []byte, progress func()) (int, error)

	// interrupt makes the read under way, or the next, return errInterrupted.
	interrupt()
	// resume ends that; called by the reader.
	resume()

	// take lets another goroutine become the reader while this one is in consume, or has
	// not begun to read, and says who drives it: the one that was touches nothing more
	// when consume has returned. false: it is too early for that.
	take() (driver, bool)

	// closeWrite says to the peer that nothing more is coming, after what was
	// written. Where that can't be said, it does nothing but return an error.
	closeWrite() error
	// close cuts both directions and ends reads and writes under way.
	close() error

	remoteAddr() net.Addr
}

// addressed is a transport of which another than itself knows the address; while a
// handshake goes out, the address is all that there is.
type addressed struct {
	transport
	remote net.Addr
}

func (t *addressed) remoteAddr() net.Addr { return t.remote }

// errInterrupted is returned by a read that interrupt has ended.
var errInterrupted = errors.New("wsmanager: the read was interrupted")

// readBufferSize is what a reader takes from the pool while it handles bytes.
const readBufferSize = 16 << 10

var readBuffers = sync.Pool{New: func() any { return new([readBufferSize]byte) }}

// connTransport is the transport over any net.Conn. Nothing can be written without
// waiting, so each send goes through the outbox; and a read has to hold a buffer
// while it waits: a small one, which is all that most messages need. Only while
// one read after the other fills its buffer is the next a big one. rawTransport
// does better for plain sockets; crypto/tls can't be asked whether it has
// something without reading it.
type connTransport struct {
	conn net.Conn
	full bool // the last read filled its buffer; owned by the reader
}

// idleBufferSize is what a connTransport holds while it waits.
const idleBufferSize = 1 << 10

var idleBuffers = sync.Pool{New: func() any { return new([idleBufferSize]byte) }}

func (t *connTransport) read(consume func(p []byte) error) error {
	if t.full {
		buf := readBuffers.Get().(*[readBufferSize]byte)
		defer readBuffers.Put(buf)
		return t.readInto(buf[:], consume)
	}
	buf := idleBuffers.Get().(*[idleBufferSize]byte)
	defer idleBuffers.Put(buf)
	return t.readInto(buf[:], consume)
}

func (t *connTransport) readInto(buf []byte, consume func(p []byte) error) error {
	n, err := t.conn.Read(buf)
	t.full = n == len(buf)
	if n > 0 {
		if err := consume(buf[:n]); err != nil {
			return err
		}
	}
	return readError(err)
}

// readError gives a read that ended by interrupt its own error.
func readError(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errInterrupted // or somebody else's deadline: the caller knows
	}
	return err
}

func (t *connTransport) tryWrite([]byte) (int, error) { return 0, nil }
func (t *connTransport) triesWrites() bool            { return false }
func (t *connTransport) wantWritable() bool           { return false }
func (t *connTransport) awaitWritable() error         { return errors.ErrUnsupported }

// writePiece is after how many bytes a connTransport can tell of progress.
const writePiece = 16 << 10

func (t *connTransport) write(p []byte, progress func()) (written int, err error) {
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

func (t *connTransport) interrupt()           { interruptRead(t.conn) }
func (t *connTransport) resume()              { resumeRead(t.conn) }
func (t *connTransport) take() (driver, bool) { return goroutineDriver{}, true }
func (t *connTransport) closeWrite() error    { return closeWrite(socket(t.conn)) }
func (t *connTransport) close() error         { return socket(t.conn).Close() }
func (t *connTransport) remoteAddr() net.Addr { return t.conn.RemoteAddr() }

// The errors of setting a deadline are dropped: they mean that the connection
// is closed, and the read says so.
func interruptRead(conn net.Conn) { _ = conn.SetReadDeadline(time.Unix(1, 0)) }
func resumeRead(conn net.Conn)    { _ = conn.SetReadDeadline(time.Time{}) }

func closeWrite(conn net.Conn) error {
	if cw, ok := conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}

// longAgo is a deadline that interrupts reads and writes.
var longAgo = time.Unix(1, 0)

// socket is the connection that can be closed without waiting: tls.Conn would
// wait up to 5 seconds to tell a peer that does not read. The WebSocket's close
// frame has told it already, if anything could.
func socket(conn net.Conn) net.Conn {
	for {
		tc, ok := conn.(*tls.Conn)
		if !ok {
			return conn
		}
		conn = tc.NetConn() // itself a TLS connection, to a proxy, maybe
	}
}
