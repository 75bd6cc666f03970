package frame

import (
	"errors"

	"github.com/gobwas/ws"
)

// Error reports received bytes that fail the connection (RFC 6455, section 7.1.7).
type Error struct {
	Code ws.StatusCode // to close the connection with
	Err  error         // the cause
}

// Error implements error.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrInvalidUTF8 is the cause of an [Error] about a text message.
var ErrInvalidUTF8 = errors.New("a text is not valid UTF-8")

func protocolError(cause error) error {
	return &Error{Code: ws.StatusProtocolError, Err: cause}
}

// InvalidUTF8 returns the [Error] for a text that is not valid UTF-8.
func InvalidUTF8() error {
	return &Error{Code: ws.StatusInvalidFramePayloadData, Err: ErrInvalidUTF8}
}
