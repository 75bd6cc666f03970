package transport

import (
	"errors"
	"net"
)

// Sink is a transport without a socket. The sender passes the frames of messages to Deliver, whole and not masked. Control
// frames are dropped.
type Sink struct {
	// Deliver must not block. shared says that the frames may be kept, but not changed. Otherwise they may be kept only as
	// copies.
	Deliver func(frames [][]byte, shared bool) error
}

var errNoSocket = errors.New("wsmanager: the connection has no socket")

// Interrupt implements Transport.
func (*Sink) Interrupt() error { return nil }

// CloseWrite implements Transport.
func (*Sink) CloseWrite() error { return errNoSocket }

// Close implements Transport.
func (*Sink) Close() error { return nil }

// RemoteAddr implements Transport.
func (*Sink) RemoteAddr() net.Addr { return noAddr{} }

// TryWrite implements TryWriter. It drops the frame.
func (*Sink) TryWrite(frame []byte) (int, error) { return len(frame), nil }

// noAddr is the address of a peer that is not known.
type noAddr struct{}

func (noAddr) Network() string { return "sink" }
func (noAddr) String() string  { return "" }
