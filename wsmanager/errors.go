package wsmanager

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/speakingtube/speakingtube/wsmanager/internal/sender"
)

// Errors of sends and of other calls on a connection. They may be wrapped: use [errors.Is].
var (
	// ErrClosed is returned after a connection began to close. The message is not sent.
	ErrClosed = sender.ErrClosed

	// ErrNoConn is returned by [Manager.Send], and by Close, Join and Leave of
	// [Manager.Conns], for an id that is not registered on this node and not of another node.
	ErrNoConn = errors.New("wsmanager: no connection with this id")

	// ErrOutboxFull is returned by sends if the outbox is full. The message is dropped. The
	// connection is closed with 1013, unless its [SlowConsumer] policy is another.
	ErrOutboxFull = sender.ErrOutboxFull

	// ErrMessageTooBig is returned by sends if the message has more than Outbox.MaxMessageSize
	// bytes, which is by default as much as fits into Outbox.Bytes with the frame header.
	ErrMessageTooBig = errors.New("wsmanager: the message is too big to be sent")

	// ErrInvalidUTF8 is returned by sends if a text is not valid UTF-8: each receiver would close
	// its connection. See [InvalidUTF8].
	ErrInvalidUTF8 = errors.New("wsmanager: the text message is not valid UTF-8")

	// ErrMessageType is returned by sends if the message is neither text nor binary: use [Text]
	// or [Binary].
	ErrMessageType = errors.New("wsmanager: the message is neither text nor binary")

	// ErrTooManyGroups is returned if a connection would be in more groups than
	// Limits.MaxGroups.
	ErrTooManyGroups = errors.New("wsmanager: the connection is in too many groups")

	// ErrNotReady is returned by [Conn.SendPrepared] on a connection that was accepted with
	// Accept.Deferred and is not ready. It is also the cause of the end of a connection that
	// was not ready within Options.ReadyTimeout, which was closed with 1008.
	ErrNotReady = errors.New("wsmanager: the connection is not ready")

	// ErrReady is returned by [Conn.Ready] if the connection is ready already.
	ErrReady = errors.New("wsmanager: the connection is ready already")
)

// Causes of the end of a connection, for [errors.Is] with the error of OnClose.
var (
	// ErrSlowConsumer is the cause if the outbox was full, because the peer reads too slowly.
	// The connection was closed with 1013.
	ErrSlowConsumer = errors.New("wsmanager: the peer reads too slowly")

	// ErrIdleTimeout is the cause if nothing was received for Timeouts.Idle, not even a pong.
	// The connection was closed with 1001.
	ErrIdleTimeout = errors.New("wsmanager: nothing was received in time")

	// ErrWriteTimeout is the cause if a write made no progress for Timeouts.Write. The
	// connection was cut.
	ErrWriteTimeout = errors.New("wsmanager: a write made no progress in time")

	// ErrExpired is the cause if the time of Accept.Expires, or that of [Conn.Renew], has come.
	// The connection was closed with 1008 and the reason "expired".
	ErrExpired = errors.New("wsmanager: the connection has expired")

	// ErrRateLimit is the cause if the peer sent more than Limits.MessageRate or
	// Limits.ControlRate. The connection was closed with 1008.
	ErrRateLimit = errors.New("wsmanager: the peer sends too much")

	// ErrShutdown is the cause if [Manager.Shutdown] closed the connection with 1001. It is
	// also returned by [Dialer.Dial] after the start of Shutdown.
	ErrShutdown = errors.New("wsmanager: the manager is shutting down")

	// ErrPanic is the cause if a callback panicked. The connection was closed with 1011.
	ErrPanic = errors.New("wsmanager: a callback panicked")
)

// prefix begins the text of each error of this package.
const prefix = "wsmanager: "

// withoutPrefix returns the text of err without the prefix, for an error that wraps err and
// begins with the prefix itself.
func withoutPrefix(err error) string { return strings.TrimPrefix(err.Error(), prefix) }

// contextError is an error and the step that it occurred in.
type contextError struct {
	step string
	err  error
}

// inContext wraps err with the step that it occurred in. The prefix is not repeated.
func inContext(step string, err error) error { return &contextError{step, err} }

// Error implements error.
func (e *contextError) Error() string { return prefix + e.step + ": " + withoutPrefix(e.err) }

// Unwrap returns the cause.
func (e *contextError) Unwrap() error { return e.err }

// rejection is an error of [Reject].
type rejection struct {
	status int
	text   string
}

// Error implements error.
func (e *rejection) Error() string {
	return fmt.Sprintf(prefix+"rejected with %d %s: %s", e.status, http.StatusText(e.status), e.text)
}

// Reject makes an error for OnAccept to return: the request is answered with the HTTP status
// (400 to 599) and publicText, which the client reads. After any other error the request is
// answered with a 500 and a general text; the text of the error goes to the log only.
//
// It panics if status is not between 400 and 599.
func Reject(status int, publicText string) error {
	if status < 400 || status > 599 {
		panic(fmt.Sprintf("wsmanager.Reject: status %d is not between 400 and 599", status))
	}
	return &rejection{status, publicText}
}

// Rejection returns the arguments of the [Reject] that made err or an error that err wraps. It
// is for other handlers that answer a refused request in the same way. ok is false if err is
// not from Reject.
func Rejection(err error) (status int, publicText string, ok bool) {
	var rej *rejection
	if !errors.As(err, &rej) {
		return 0, "", false
	}
	return rej.status, rej.text, true
}
