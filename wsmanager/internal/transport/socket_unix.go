//go:build unix

package transport

import (
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// plainSocket is the transport over a plain socket. It waits without a buffer, and writes
// from the sender's memory until the kernel's buffer is full.
type plainSocket struct {
	conn net.Conn
	raw  syscall.RawConn

	// readable is the callback of raw for reading, allocated once; owned by the reader.
	readable func(fd uintptr) bool

	// receiver is the argument of Read; owned by the reader.
	receiver Receiver

	// buf has the bytes of the last read, nil if there are none or they are in the memory of
	// the receiver; owned by the reader.
	buf *[readBufferSize]byte

	// n is the number of bytes of the last read, the negative error number of the read, or 0
	// at the end of the stream; owned by the reader.
	n int
}

// New makes the best transport for conn, which is a Reader. remote is the address of the
// peer if conn does not know one.
//
// Only connections of exactly the types below are used beneath their methods: a type that
// embeds one of them may count or slow down the bytes that pass through it.
func New(conn net.Conn, remote net.Addr) Transport {
	var raw syscall.RawConn
	var err error
	switch c := conn.(type) {
	case *net.TCPConn:
		raw, err = c.SyscallConn()
	case *net.UnixConn:
		raw, err = c.SyscallConn()
	}
	if raw == nil || err != nil || conn.RemoteAddr() == nil {
		return newConn(conn, remote)
	}
	t := &plainSocket{conn: conn, raw: raw}
	t.readable = t.readOnce
	return t
}

// Read implements Reader.
func (t *plainSocket) Read(r Receiver) error {
	t.receiver = r
	if err := t.raw.Read(t.readable); err != nil {
		return readError(err)
	}
	buf := t.buf
	switch {
	case buf != nil:
		t.buf = nil
		defer readBuffers.Put(buf)
		return r.Receive(buf[:t.n])
	case t.n > 0:
		return r.Receive(r.Space()[:t.n])
	case t.n < 0:
		return syscall.Errno(-t.n)
	}
	return io.EOF
}

// readOnce takes a buffer only while the descriptor may have bytes. It returns false to
// wait.
func (t *plainSocket) readOnce(fd uintptr) bool {
	if p := t.receiver.Space(); p != nil {
		return t.readInto(fd, p)
	}
	buf := readBuffers.Get().(*[readBufferSize]byte)
	done := t.readInto(fd, buf[:])
	if t.n > 0 {
		t.buf = buf
	} else {
		readBuffers.Put(buf)
	}
	return done
}

// readInto reads once. It returns false to wait.
func (t *plainSocket) readInto(fd uintptr, p []byte) bool {
	n, err := syscall.Read(int(fd), p)
	for err == syscall.EINTR {
		n, err = syscall.Read(int(fd), p)
	}
	t.n = max(n, 0)
	if errno, ok := err.(syscall.Errno); ok {
		t.n = -int(errno)
		return errno != syscall.EAGAIN
	}
	return true
}

// socketWrite is one TryWrite in progress.
type socketWrite struct {
	p        []byte
	written  int
	err      error
	writable func(fd uintptr) bool // its method once, allocated with it
}

var socketWrites = sync.Pool{New: func() any {
	w := new(socketWrite)
	w.writable = w.once
	return w
}}

// TryWrite implements TryWriter.
func (t *plainSocket) TryWrite(p []byte) (int, error) {
	w := socketWrites.Get().(*socketWrite)
	w.p, w.written, w.err = p, 0, nil
	err := t.raw.Write(w.writable)
	if err == nil {
		err = w.err
	}
	n := w.written
	w.p = nil
	socketWrites.Put(w)
	return n, err
}

// once writes until all bytes are written or the kernel's buffer is full. It never waits.
func (w *socketWrite) once(fd uintptr) bool {
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

// AwaitWritable implements WritableWaiter. It polls before it waits, because Go's poller
// reports the change to writable once, and forgets one that came before the wait began.
func (t *plainSocket) AwaitWritable() error {
	return t.raw.Write(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		n, err := unix.Poll(fds, 0)
		for err == unix.EINTR {
			n, err = unix.Poll(fds, 0)
		}
		return n > 0 || err != nil // the next write reports the error
	})
}

// Interrupt implements Transport. An error of SetReadDeadline means that the connection is
// closed, which the next read reports.
func (t *plainSocket) Interrupt() error {
	_ = t.conn.SetReadDeadline(past)
	return nil
}

// Resume implements Reader.
func (t *plainSocket) Resume() error {
	_ = t.conn.SetReadDeadline(time.Time{})
	return nil
}

// CloseWrite implements Transport.
func (t *plainSocket) CloseWrite() error { return closeWrite(t.conn) }

// Close implements Transport.
func (t *plainSocket) Close() error { return t.conn.Close() }

// RemoteAddr implements Transport.
func (t *plainSocket) RemoteAddr() net.Addr { return t.conn.RemoteAddr() }
