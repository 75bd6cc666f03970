package transport

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// Transport is the part that all transports have in common. Its methods are safe for
// concurrent use.
type Transport interface {
	// Interrupt makes the current read, or the next one, return ErrInterrupted. Its only
	// error is a *PanicError.
	Interrupt() error

	// CloseWrite ends our direction after the bytes that were written. If the connection
	// cannot be closed in one direction, it only returns an error.
	CloseWrite() error

	// Close closes both directions and ends reads and writes in progress.
	Close() error

	RemoteAddr() net.Addr
}

// Reader is a Transport from which a goroutine reads.
type Reader interface {
	Transport

	// Read waits for bytes and passes them to r. It returns the error of r, or the reason why
	// there are no more bytes.
	Read(r Receiver) error

	// Resume ends an interruption. Its only error is a *PanicError.
	Resume() error
}

// Receiver gets the bytes that a Reader reads.
type Receiver interface {
	// Space returns the memory for the next bytes, or nil for memory of the Reader. It may be
	// called several times before Receive, and then returns the same memory.
	Space() []byte

	// Receive gets bytes, which it may change. Unless they are in the memory of Space, it must
	// not keep them.
	Receive(p []byte) error
}

// TryWriter is a Transport that can write without blocking.
type TryWriter interface {
	Transport

	// TryWrite writes as much of p as possible without blocking, which may be nothing.
	TryWrite(p []byte) (int, error)
}

// WritableWaiter is a TryWriter for which a goroutine waits.
type WritableWaiter interface {
	TryWriter

	// AwaitWritable waits until TryWrite can write more, or until Close.
	AwaitWritable() error
}

// WritableNotifier is a TryWriter whose driver calls the connection's writer.
type WritableNotifier interface {
	TryWriter

	// NotifyWritable requests one such call, as soon as TryWrite can write more.
	NotifyWritable()
}

// BlockingWriter is a Transport of which each write may block.
type BlockingWriter interface {
	Transport

	// Write writes all of p, however long that takes, or until Close. It calls progress
	// after each part, and returns how many bytes it has written.
	Write(p []byte, progress func()) (int, error)
}

// ErrInterrupted is returned by a read that Interrupt has ended.
var ErrInterrupted = errors.New("wsmanager: the read was interrupted")

// readError returns ErrInterrupted for a read that a deadline has ended. The deadline may
// be set by other code; the caller knows whether it has called Interrupt.
func readError(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ErrInterrupted
	}
	return err
}

// past is a deadline that has expired.
var past = time.Unix(1, 0)

func closeWrite(conn net.Conn) error {
	if cw, ok := conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}

const (
	// readBufferSize is the size of the buffers that are held while bytes are handled.
	readBufferSize = 16 << 10

	// idleBufferSize is the size of the buffers that are held while a read waits, by
	// transports that cannot wait without one.
	idleBufferSize = 1 << 10

	// writePiece is the number of bytes after which a BlockingWriter reports progress.
	writePiece = 16 << 10
)

var (
	readBuffers = sync.Pool{New: func() any { return new([readBufferSize]byte) }}
	idleBuffers = sync.Pool{New: func() any { return new([idleBufferSize]byte) }}
)
