//go:build unix

package wsmanager

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// rawTransport is the transport over a plain socket. It waits without holding a
// buffer, and writes straight from the sender as long as the kernel takes it.
type rawTransport struct {
	conn net.Conn
	raw  syscall.RawConn

	// Owned by the reader: the callback for raw, made once, and its result.
	readable func(fd uintptr) bool
	buf      *[readBufferSize]byte
	n        int // bytes in buf; without buf the read's error, negative, 0 for the end
}

// newTransport makes the best transport for conn. Only conns of exactly these
// types are used below their methods: a type that embeds one may count or slow
// what goes through it.
func newTransport(conn net.Conn) transport {
	var raw syscall.RawConn
	var err error
	switch c := conn.(type) {
	case *net.TCPConn:
		raw, err = c.SyscallConn()
	case *net.UnixConn:
		raw, err = c.SyscallConn()
	}
	if raw == nil || err != nil {
		return &connTransport{conn: conn}
	}
	t := &rawTransport{conn: conn, raw: raw}
	t.readable = t.readOnce
	return t
}

func (t *rawTransport) read(consume func(p []byte) error) error {
	if err := t.raw.Read(t.readable); err != nil {
		return readError(err)
	}
	buf := t.buf
	switch {
	case buf != nil:
		t.buf = nil
		defer readBuffers.Put(buf)
		return consume(buf[:t.n])
	case t.n < 0:
		return syscall.Errno(-t.n)
	}
	return io.EOF
}

// readOnce takes a buffer only for a descriptor that may have something.
func (t *rawTransport) readOnce(fd uintptr) bool {
	buf := readBuffers.Get().(*[readBufferSize]byte)
	n, err := syscall.Read(int(fd), buf[:])
	for err == syscall.EINTR {
		n, err = syscall.Read(int(fd), buf[:])
	}
	if n > 0 {
		t.buf, t.n = buf, n
		return true
	}
	readBuffers.Put(buf)
	if errno, ok := err.(syscall.Errno); ok {
		t.n = -int(errno)
		return errno != syscall.EAGAIN // or wait
	}
	t.n = 0
	return true
}

// rawWrite is one tryWrite under way.
type rawWrite struct {
	p        []byte
	written  int
	err      error
	writable func(fd uintptr) bool // once
}

var rawWrites = sync.Pool{New: func() any {
	w := new(rawWrite)
	w.writable = w.once
	return w
}}

func (t *rawTransport) tryWrite(p []byte) (int, error) {
	w := rawWrites.Get().(*rawWrite)
	w.p, w.written, w.err = p, 0, nil
	err := t.raw.Write(w.writable)
	if err == nil {
		err = w.err
	}
	n := w.written
	w.p = nil
	rawWrites.Put(w)
	return n, err
}

// once writes until all is written or the kernel takes no more. It never waits.
func (w *rawWrite) once(fd uintptr) bool {
	for w.written < len(w.p) {
		n, err := writeNow(int(fd), w.p[w.written:])
		if n > 0 {
			w.written += n
		}
		switch err {
		case nil, syscall.EINTR:
		case syscall.EAGAIN:
			return true
		default:
			w.err = err
			return true
		}
	}
	return true
}

func (t *rawTransport) triesWrites() bool  { return true }
func (t *rawTransport) wantWritable() bool { return false }

// awaitWritable looks before it waits: Go's poller tells of the change to writable
// once, and forgets one that came before the wait began.
func (t *rawTransport) awaitWritable() error {
	return t.raw.Write(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		n, err := unix.Poll(fds, 0)
		for err == unix.EINTR {
			n, err = unix.Poll(fds, 0)
		}
		return n > 0 || err != nil // an error is the next write's to tell
	})
}

func (t *rawTransport) write([]byte, func()) (int, error) { return 0, errors.ErrUnsupported }

func (t *rawTransport) interrupt()           { interruptRead(t.conn) }
func (t *rawTransport) resume()              { resumeRead(t.conn) }
func (t *rawTransport) take() (driver, bool) { return goroutineDriver{}, true }
func (t *rawTransport) closeWrite() error    { return closeWrite(t.conn) }
func (t *rawTransport) close() error         { return t.conn.Close() }
func (t *rawTransport) remoteAddr() net.Addr { return t.conn.RemoteAddr() }
