//go:build unix

package wsmanager

import (
	"io"
	"net"
	"syscall"
)

// rawTransport is the transport over a plain socket. It waits without holding a
// buffer, and writes straight from the sender as long as the kernel takes it.
type rawTransport struct {
	connTransport
	raw syscall.RawConn

	// The callbacks for raw, made once, and what they work on.
	readable func(fd uintptr) bool // owned by the reader
	buf      *[readBufferSize]byte
	n        int
	readErr  error

	writable func(fd uintptr) bool // owned by whoever may write
	p        []byte
	written  int
	writeErr error
	progress func() // wait for room, and tell when there was some; nil: don't wait
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
	t := &rawTransport{connTransport: connTransport{conn: conn}, raw: raw}
	t.readable = t.readOnce
	t.writable = t.writeOnce
	return t
}

func (t *rawTransport) read(consume func(p []byte) error) error {
	err := t.raw.Read(t.readable)
	buf, n := t.buf, t.n
	t.buf = nil
	if err == nil {
		err = t.readErr
	}
	if buf == nil {
		return readError(err)
	}
	defer readBuffers.Put(buf)
	return consume(buf[:n])
}

// readOnce takes a buffer only for a descriptor that may have something.
func (t *rawTransport) readOnce(fd uintptr) bool {
	buf := readBuffers.Get().(*[readBufferSize]byte)
	for {
		n, err := syscall.Read(int(fd), buf[:])
		switch {
		case err == syscall.EINTR:
			continue
		case err == nil && n > 0:
			t.buf, t.n, t.readErr = buf, n, nil
			return true
		}
		readBuffers.Put(buf)
		if err == syscall.EAGAIN {
			return false // wait
		}
		if err == nil {
			err = io.EOF
		}
		t.n, t.readErr = 0, err
		return true
	}
}

func (t *rawTransport) tryWrite(p []byte) (int, error) { return t.writeRaw(p, nil) }

func (t *rawTransport) triesWrites() bool { return true }

func (t *rawTransport) write(p []byte, progress func()) (int, error) { return t.writeRaw(p, progress) }

func (t *rawTransport) writeRaw(p []byte, progress func()) (int, error) {
	t.p, t.written, t.writeErr, t.progress = p, 0, nil, progress
	err := t.raw.Write(t.writable)
	t.p, t.progress = nil, nil
	if err == nil {
		err = t.writeErr
	}
	return t.written, err
}

// writeOnce writes until all is written or the kernel takes no more.
func (t *rawTransport) writeOnce(fd uintptr) bool {
	for t.written < len(t.p) {
		n, err := syscall.Write(int(fd), t.p[t.written:])
		if n > 0 {
			t.written += n
			if t.progress != nil {
				t.progress()
			}
		}
		switch err {
		case nil, syscall.EINTR:
		case syscall.EAGAIN:
			return t.progress == nil // false: wait
		default:
			t.writeErr = err
			return true
		}
	}
	return true
}
