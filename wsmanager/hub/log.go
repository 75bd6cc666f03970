package hub

import (
	"log/slog"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

const (
	// maxLogged limits the bytes of a value that the other side has chosen, in log records and errors, as in wsmanager.
	maxLogged = 256

	// maxLoggedError limits the bytes of an error of the application in log records. It may quote what a client has sent.
	maxLoggedError = 2 << 10
)

// shortError is an error with the beginning of its text.
type shortError struct {
	err   error
	limit int
}

func (e *shortError) Error() string { return httpx.Truncate(e.err.Error(), e.limit) }
func (e *shortError) Unwrap() error { return e.err }

// quoting shortens an error whose text quotes what the other side has sent.
func quoting(err error) error {
	if err == nil {
		return nil
	}
	return &shortError{err, maxLogged}
}

// logged is the attribute of an error in a log record.
func logged(err error) slog.Attr {
	if err == nil {
		return slog.Any("err", nil)
	}
	return slog.Any("err", &shortError{err, maxLoggedError})
}

// logID is the attribute of a connection in a log record. In negotiation version 0 the id of a connection is a secret, so
// the log has another one.
func (c *conn) logID() slog.Attr {
	if c.ticket != nil {
		return slog.String("conn", c.ticket.ID.String())
	}
	return slog.String("conn", c.id)
}
