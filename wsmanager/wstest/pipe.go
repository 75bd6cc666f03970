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

// DefaultBuffer is how many bytes each direction of an in-memory connection holds
// unless it is said otherwise: little, so that a peer that does not read is felt
// soon.
const DefaultBuffer = 4 << 10

// Pipe returns the two ends of a connection in memory. Each direction holds up to
// buffer bytes that have not been read (DefaultBuffer if it is 0); a write of more
// waits for its reader, as on a socket. A buffer of 1 is next to none: a write
// returns when all but its last byte was read.
//
// The ends are what sockets are: deadlines work, Close lets the other end read
// what was written and then io.EOF, CloseWrite does so for one direction, Reset
// loses what is on its way. But a Close with bytes unread is as orderly as any:
// there is no reset that could overtake the close frame.
//
// It waits on nothing but what a testing/synctest bubble knows, so in one, time
// goes by as soon as everybody waits.
func Pipe(buffer int) (client, server *PipeConn) {
	up, down := newStream(buffer), newStream(buffer)
	clientAddr := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1024 + int(ports.Add(1)%60000)} // RFC 5737: of nobody
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

// Write implements net.Conn. Writes at the same time go one after the other.
func (c *PipeConn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	return n, opError("write", err)
}

// Close implements net.Conn. The other end can read what was written.
func (c *PipeConn) Close() error {
	c.in.closeRead()
	c.out.closeWrite()
	return nil
}

// CloseWrite says to the other end that nothing more is coming.
func (c *PipeConn) CloseWrite() error {
	c.out.closeWrite()
	return nil
}

// Reset ends the connection as a crash of the peer does: what is on its way is
// lost, and the other end's reads and writes fail.
func (c *PipeConn) Reset() {
	c.in.reset()
	c.out.reset()
}

// LocalAddr implements net.Conn: a *net.TCPAddr of addresses for documentation,
// so that what parses addresses can.
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

// Unread returns how many bytes were written to this end and not read.
func (c *PipeConn) Unread() int {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	return len(c.in.buf)
}

// stream is one direction.
type stream struct {
	limit int

	mu      sync.Mutex // guards what follows; nobody waits while holding it
	changed sync.Cond  // waits on which are durable, in the sense of testing/synctest
	buf     []byte
	writing bool // a write is under way: the next waits here, not for a mutex
	readBy  deadline
	writeBy deadline
	ended   bool // nothing more will be written
	unread  bool // nothing more will be read
	crashed bool
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
		case s.unread:
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
		case s.ended:
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
		case s.ended:
			return n, net.ErrClosed
		case s.crashed:
			return n, errReset
		case s.unread:
			return n, errBroken
		case s.writeBy.passed:
			return n, os.ErrDeadlineExceeded
		case s.writing && !mine: // wait
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
	s.ended = true
	s.writeBy.stop()
	s.changed.Broadcast()
}

func (s *stream) closeRead() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unread, s.buf = true, nil
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

// deadline is one of a stream's, guarded by its mutex.
type deadline struct {
	passed bool
	timer  *time.Timer
	set    int // how often: a timer that comes late is not of the last
}

func (d *deadline) stop() {
	d.set++
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
		nth := d.set
		d.timer = time.AfterFunc(time.Until(t), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if d.set == nth {
				d.passed = true
				s.changed.Broadcast()
			}
		})
	}
	s.changed.Broadcast()
}
