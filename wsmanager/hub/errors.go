package hub

import (
	"errors"
	"fmt"
	"strings"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// Error is an error whose text the client may read. If a method returns an Error, or an error with an Error in its chain,
// the caller gets the Error's text unchanged. The text of all other errors goes to the log only, and the caller gets a
// general text.
type Error string

// Error implements error.
func (e Error) Error() string { return string(e) }

// Errorf formats an [Error].
func Errorf(format string, args ...any) error { return Error(fmt.Sprintf(format, args...)) }

// RemoteError is the error that the other side answered a call with, or ended a stream of its call with. Its text comes from
// the other side. Unlike an [Error] it is not passed on to other clients.
type RemoteError struct {
	Method string
	Text   string
}

func remoteError(method, text string) *RemoteError {
	if text == NoErrorText {
		text = ""
	}
	return &RemoteError{method, text}
}

// Error implements error.
func (e *RemoteError) Error() string {
	return fmt.Sprintf("hub: the other side answered %q with an error: %s", e.Method, e.Text)
}

// Errors of a hub: they are returned by calls, or are why a connection or a context ended.
var (
	// ErrNoConnection is returned if the hub has no connection with the given id.
	ErrNoConnection = errors.New("hub: no connection with this id")

	// ErrClosed is [wsmanager.ErrClosed]. Sends to a connection that has ended or is closing return it. It is the cause of
	// such a connection's contexts, unless a more specific cause is known.
	ErrClosed = wsmanager.ErrClosed

	// ErrCanceled is the cause of a call's context after the client has canceled the call.
	ErrCanceled = errors.New("hub: the client has canceled the call")

	// ErrReturned is the cause of a call's context after the call has returned.
	ErrReturned = errors.New("hub: the call has returned")

	// ErrAborted is why a connection ended after [Context.Abort] or [Client.Disconnect].
	ErrAborted = errors.New("hub: the connection was aborted")

	// ErrClientTimeout is why a connection ended if no message came from the client for Options.ClientTimeout.
	ErrClientTimeout = errors.New("hub: no message from the client in time")

	// ErrHandshakeTimeout is why a connection ended if its handshake did not complete within Options.HandshakeTimeout or
	// DialOptions.HandshakeTimeout.
	ErrHandshakeTimeout = errors.New("hub: no handshake in time")

	// ErrTooManyCalls is why a connection ended if it reached Options.MaxPendingCalls or MaxPendingBytes and none of its
	// calls could end without further messages of the client.
	ErrTooManyCalls = errors.New("hub: too many pending calls")

	// ErrSlowConsumer is why a connection ended if the client reads or acknowledges too slowly, and why a stream or a
	// [Connection] ended that exceeded DialOptions.ReceiveBuffer.
	ErrSlowConsumer = errors.New("hub: slow consumer")

	// ErrShutdown is why a connection ended after [Hub.Shutdown].
	ErrShutdown = errors.New("hub: the hub is shutting down")
)

// publicText is the text of an error that a client may read, and false if there is none.
func publicText(err error) (string, bool) {
	var e Error
	if errors.As(err, &e) && e != "" {
		return string(e), true
	}
	return "", false
}

// wrappedError is an error with a text in front. Its own text begins with the package's name, so it removes that from the
// text of the wrapped error.
type wrappedError struct {
	text string
	errs []error // the last one is the wrapped error
}

func (e *wrappedError) Error() string {
	last := e.errs[len(e.errs)-1]
	return e.text + ": " + strings.TrimPrefix(last.Error(), "hub: ")
}

func (e *wrappedError) Unwrap() []error { return e.errs }

// inContext wraps err with a description of the step that failed.
func inContext(text string, err error) error {
	return &wrappedError{"hub: " + text, []error{err}}
}

// withPrefix wraps err with an error of this package. errors.Is finds both.
func withPrefix(kind, err error) error {
	if err == nil {
		return kind
	}
	return &wrappedError{kind.Error(), []error{kind, err}}
}
