package wstest

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultBuffer is the default number of bytes that each direction of an in-memory
// connection holds. It is small, so that a peer that does not read has an effect soon.
const DefaultBuffer = 4 << 10

// Pipe returns the two ends of a connection in memory. Each direction holds up to buffer
// unread bytes (DefaultBuffer if it is 0); a longer write waits for its reader, as on a
// socket. With a buffer of 1 a write returns when all bytes except the last have been read.
//
// The ends behave like sockets: deadlines work; after Close the other end can read the
// written bytes and then gets io.EOF; CloseWrite does that for one direction; Reset drops
// the bytes in flight. One difference: a Close with unread bytes is graceful, so no reset
// can overtake a close frame.
//
// Its waits are durable in the sense of testing/synctest, so the time in a bubble advances
// while all goroutines wait.
func Pipe(buffer int) (client, server *PipeConn) {
	up, down := newStream(buffer), newStream(buffer)
	clientAddr := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1024 + int(ports.Add(1)%60000)} // RFC 5737: reserved for documentation
	serverAddr := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 80}
	client = &PipeConn{in: down, out: up, local: clientAddr, remote: serverAddr}
	server = &PipeConn{in: up, out: down, local: serverAddr, remote: clientAddr}
	return client, server
}

var ports atomic.Uint32

// PipeConn is one end of a [Pipe].
type PipeConn struct {
	in, out       *stream
	local, remote net.Addr
}

var _ net.Conn = (*PipeConn)(nil)

var (
	errReset  = errors.New("connection reset by peer")
	errBroken = errors.New("broken pipe")
)

func opError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: "pipe", Err: err}
}

// Read implements net.Conn.
func (c *PipeConn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	return n, opError("read", err)
}

// Write implements net.Conn. Concurrent writes do not interleave.
func (c *PipeConn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	return n, opError("write", err)
}

// Close implements net.Conn. The other end can still read the written bytes.
func (c *PipeConn) Close() error {
	c.in.closeRead()
	c.out.closeWrite()
	return nil
}

// CloseWrite signals the end of this direction to the other end.
func (c *PipeConn) CloseWrite() error {
	c.out.closeWrite()
	return nil
}

// Reset ends the connection as a crash of the peer would: bytes in flight are lost, and the
// other end's reads and writes fail.
func (c *PipeConn) Reset() {
	c.in.reset()
	c.out.reset()
}

// LocalAddr implements net.Conn. It returns a *net.TCPAddr with an address reserved for
// documentation, so that code that parses addresses works.
func (c *PipeConn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn; see LocalAddr.
func (c *PipeConn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *PipeConn) SetDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readBy, t)
	c.out.setDeadline(&c.out.writeBy, t)
	return nil
}

// SetReadDeadline implements net.Conn.
func (c *PipeConn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readBy, t)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *PipeConn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.writeBy, t)
	return nil
}

// Unread returns the number of bytes that were written to this end and have not been read.
func (c *PipeConn) Unread() int {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	return len(c.in.buf)
}

// stream is one direction of a Pipe.
type stream struct {
	limit int

	mu          sync.Mutex // guards the fields below; not held while waiting
	changed     sync.Cond  // its waits are durable, in the sense of testing/synctest
	buf         []byte
	writing     bool // a write is in progress: the next one waits for changed, not for a mutex
	readBy      deadline
	writeBy     deadline
	writeClosed bool // no more will be written
	readClosed  bool // no more will be read
	crashed     bool
}

func newStream(limit int) *stream {
	if limit <= 0 {
		limit = DefaultBuffer
	}
	s := &stream{limit: limit}
	s.changed.L = &s.mu
	return s
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.readClosed:
			return 0, net.ErrClosed
		case s.crashed:
			return 0, errReset
		case s.readBy.passed:
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case len(s.buf) > 0:
			n := copy(p, s.buf)
			s.buf = append(s.buf[:0], s.buf[n:]...)
			s.changed.Broadcast()
			return n, nil
		case s.writeClosed:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (s *stream) write(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine := false
	defer func() {
		if mine {
			s.writing = false
			s.changed.Broadcast()
		}
	}()
	for {
		switch {
		case s.writeClosed:
			return n, net.ErrClosed
		case s.crashed:
			return n, errReset
		case s.readClosed:
			return n, errBroken
		case s.writeBy.passed:
			return n, os.ErrDeadlineExceeded
		case s.writing && !mine: // wait for changed
		case n == len(p):
			return n, nil
		default:
			mine, s.writing = true, true
			if room := s.limit - len(s.buf); room > 0 {
				part := p[n:min(len(p), n+room)]
				s.buf = append(s.buf, part...)
				n += len(part)
				s.changed.Broadcast()
				continue
			}
		}
		s.changed.Wait()
	}
}

func (s *stream) closeWrite() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writeClosed = true
	s.writeBy.stop()
	s.changed.Broadcast()
}

func (s *stream) closeRead() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readClosed, s.buf = true, nil
	s.readBy.stop()
	s.changed.Broadcast()
}

func (s *stream) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.crashed, s.buf = true, nil
	s.readBy.stop()
	s.writeBy.stop()
	s.changed.Broadcast()
}

// deadline is a read or write deadline of a stream, guarded by the stream's mutex.
type deadline struct {
	passed     bool
	timer      *time.Timer
	generation int // number of changes: a timer that fires late belongs to an earlier one
}

func (d *deadline) stop() {
	d.generation++
	if d.timer != nil {
		d.timer.Stop()
	}
}

func (s *stream) setDeadline(d *deadline, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.stop()
	d.timer = nil
	d.passed = !t.IsZero() && !t.After(time.Now())
	if !t.IsZero() && !d.passed {
		nth := d.generation
		d.timer = time.AfterFunc(time.Until(t), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if d.generation == nth {
				d.passed = true
				s.changed.Broadcast()
			}
		})
	}
	s.changed.Broadcast()
}
