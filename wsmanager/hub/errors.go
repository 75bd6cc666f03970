package hub

import (
	"errors"
	"fmt"
)

// Error is an error whose text the client may read: what a method returns as an Error,
// or with one in its chain, reaches the caller as that text, word for word. The text
// of any other error goes to the log only; the caller reads that something went wrong.
type Error string

// Error implements error.
func (e Error) Error() string { return string(e) }

// Errorf makes an [Error] of a format.
func Errorf(format string, args ...any) error { return Error(fmt.Sprintf(format, args...)) }

// RemoteError is what the other side answered a call with instead of a result. Its text
// is the other side's; it is not passed on to third parties, as an [Error] would be.
type RemoteError struct {
	Method string
	Text   string
}

// Error implements error.
func (e *RemoteError) Error() string {
	return fmt.Sprintf("hub: %q failed at the other side: %s", e.Method, e.Text)
}

// What calls on the hub return, and why connections end.
var (
	// ErrNoConnection is returned for the id of a connection that the hub does not
	// (or no longer) have.
	ErrNoConnection = errors.New("hub: there is no connection with this id")

	// ErrClosed is the cause of the contexts of a connection that has ended, unless
	// there is a better one, and what sends to it return.
	ErrClosed = errors.New("hub: the connection is closed")

	// ErrCanceled is the cause of the context of a call that the client has
	// cancelled, and ErrReturned that of a call that is over.
	ErrCanceled = errors.New("hub: the client has cancelled the call")
	ErrReturned = errors.New("hub: the call is over")

	// ErrAborted: Abort ended the connection.
	ErrAborted = errors.New("hub: the connection was aborted")

	// ErrClientTimeout: nothing came from the client for Options.ClientTimeout.
	ErrClientTimeout = errors.New("hub: nothing came from the client in time")

	// ErrHandshakeTimeout: the client's handshake did not come within
	// Options.HandshakeTimeout.
	ErrHandshakeTimeout = errors.New("hub: the handshake did not come in time")

	// ErrTooManyCalls: the client had more calls waiting than Options.MaxPendingCalls
	// or MaxPendingBytes allow, and none of them could end without it.
	ErrTooManyCalls = errors.New("hub: the client has too many calls waiting")

	// ErrSlowConsumer: the client reads, or acknowledges, too slowly.
	ErrSlowConsumer = errors.New("hub: the client reads too slowly")

	// ErrShutdown: [Hub.Shutdown] ended the connection.
	ErrShutdown = errors.New("hub: the hub is shutting down")
)

// publicText is what a client may read of an error; false if nothing.
func publicText(err error) (string, bool) {
	var e Error
	if errors.As(err, &e) && e != "" {
		return string(e), true
	}
	return "", false
}
