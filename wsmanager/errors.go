package wsmanager

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// What sends and other calls on a connection return.
var (
	// ErrClosed is returned once a connection is closing or gone. The message
	// will not arrive.
	ErrClosed = errors.New("wsmanager: the connection is closed")

	// ErrNoConn is returned by [Manager.Send], and by Close, Join and Leave of
	// [Manager.Conns], for an id that is not registered and not of another node.
	ErrNoConn = errors.New("wsmanager: no connection with this id")

	// ErrOutboxFull is returned by sends that found the outbox full. The message
	// is dropped, and the connection is being closed with 1013 unless its
	// [SlowConsumer] policy is another.
	ErrOutboxFull = errors.New("wsmanager: the outbox is full")

	// ErrMessageTooBig is returned by sends of a message that could never fit
	// the outbox (Options.OutboxBytes).
	ErrMessageTooBig = errors.New("wsmanager: the message is bigger than the outbox")

	// ErrInvalidUTF8 is returned by sends to an [Audience] and by sends of a [Prepared] for
	// a text that is not valid UTF-8: each receiver would close its connection.
	ErrInvalidUTF8 = errors.New("wsmanager: the text message is not valid UTF-8")

	// ErrMessageType is returned by sends of a message that is neither text nor
	// binary: use [Text] or [Binary].
	ErrMessageType = errors.New("wsmanager: the message is neither text nor binary")

	// ErrTooManyGroups is returned by [Conn.Join] beyond Options.MaxGroups.
	ErrTooManyGroups = errors.New("wsmanager: the connection is in too many groups")

	// ErrNotReady is returned by [Conn.SendPrepared] on a connection that was
	// accepted with Accept.Deferred and is not ready, and is why one ends that is not
	// within Options.ReadyTimeout; ErrReady is returned by [Conn.Ready] on one that
	// is.
	ErrNotReady = errors.New("wsmanager: the connection is not ready")
	ErrReady    = errors.New("wsmanager: the connection is ready already")
)

// Why a connection ended; found in OnClose's error with [errors.Is].
var (
	// ErrSlowConsumer: the peer read too slowly and its outbox ran over. It was
	// closed with 1013.
	ErrSlowConsumer = errors.New("wsmanager: the peer reads too slowly")

	// ErrIdleTimeout: nothing was received for Options.IdleTimeout, not even the
	// answer to a ping. The peer was closed with 1001, should it still be there.
	ErrIdleTimeout = errors.New("wsmanager: nothing was received in time")

	// ErrWriteTimeout: a write made no progress for Options.WriteTimeout. The
	// connection was cut.
	ErrWriteTimeout = errors.New("wsmanager: a write made no progress in time")

	// ErrRateLimit: the peer sent more than Options.MessageRate or ControlRate
	// allows. It was closed with 1008.
	ErrRateLimit = errors.New("wsmanager: the peer sends too much")

	// ErrShutdown: [Manager.Shutdown] closed it with 1001.
	ErrShutdown = errors.New("wsmanager: the manager is shutting down")

	// ErrPanic: a callback panicked. It was closed with 1011.
	ErrPanic = errors.New("wsmanager: a callback panicked")
)

// withoutPrefix returns the text of err without the prefix of this package, for an error
// that wraps err and begins with the prefix itself.
func withoutPrefix(err error) string { return strings.TrimPrefix(err.Error(), "wsmanager: ") }

// CloseError says how a connection ended. OnClose gets one for every end that
// was not orderly; OnConnect and OnMessage may return one to choose the code and
// reason that the peer reads.
type CloseError struct {
	Code   StatusCode // as sent or received; 1006 where no close frame was
	Reason string     // as sent or received
	Remote bool       // the peer ended it
	Err    error      // the cause, where there is one beyond the code
}

// Error implements error.
func (e *CloseError) Error() string {
	by := "here"
	if e.Remote {
		by = "by the peer"
	}
	s := fmt.Sprintf("wsmanager: closed %s with %d", by, e.Code)
	if e.Reason != "" {
		s += fmt.Sprintf(" (%q)", e.Reason)
	}
	if e.Err != nil {
		s += ": " + withoutPrefix(e.Err)
	}
	return s
}

// Unwrap returns the cause.
func (e *CloseError) Unwrap() error { return e.Err }

// orderly reports whether OnClose gets nil.
func (e *CloseError) orderly() bool {
	return e.Err == nil && (e.Code == StatusNormalClosure || e.Code == StatusGoingAway || e.Code == StatusNoStatusReceived)
}

// rejection is what [Reject] makes.
type rejection struct {
	status int
	text   string
}

func (e *rejection) Error() string {
	return fmt.Sprintf("rejected with %d %s: %s", e.status, http.StatusText(e.status), e.text)
}

// Reject makes an error for OnAccept to return: the request is answered with
// the HTTP status (400 to 599) and publicText, which the client reads. Any other
// error is answered with a 500 that says nothing; its text goes to the log only.
//
// It panics if status is not between 400 and 599.
func Reject(status int, publicText string) error {
	if status < 400 || status > 599 {
		panic(fmt.Sprintf("wsmanager.Reject: status %d is not between 400 and 599", status))
	}
	return &rejection{status, publicText}
}

// Rejection returns what [Reject] has put into err, or into an error of its chain:
// for handlers beside a Manager that answer a refused request in the same way. ok is
// false if there is nothing of it.
func Rejection(err error) (status int, publicText string, ok bool) {
	var rej *rejection
	if !errors.As(err, &rej) {
		return 0, "", false
	}
	return rej.status, rej.text, true
}
