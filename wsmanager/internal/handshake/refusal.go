package handshake

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

// Reason classifies refusals, for counters.
type Reason uint8

// The reasons of refusals.
const (
	NotWebSocket  Reason = iota // the request does not ask for a WebSocket
	Malformed                   // the request asks for a WebSocket in an invalid way
	ForeignOrigin               // the origin may not connect
	Failed                      // the server can't do the handshake
)

// Refusal is a handshake that the server has to answer with an HTTP error. Nothing of
// the answer has been sent.
type Refusal struct {
	Reason Reason
	Status int    // the HTTP status to answer with
	Text   string // the body to answer with
	Err    error  // for the log: more than the client may know
}

// Error implements error.
func (e *Refusal) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *Refusal) Unwrap() error { return e.Err }

// Failure makes a Refusal for an error of the server or of the application. The client
// reads only that the server has failed.
func Failure(err error) *Refusal {
	return &Refusal{Failed, http.StatusInternalServerError, "The server failed to accept the connection.", err}
}

func notWebSocket(status int, text string, err error) *Refusal {
	return &Refusal{NotWebSocket, status, text, err}
}

func malformed(status int, text string, err error) *Refusal {
	return &Refusal{Malformed, status, text, err}
}

// CloseAfterAnswer makes the server close the connection of r after an answer with this
// status, which refuses a handshake. Some proxies forward everything that follows a request
// for an upgrade without a look at the answer. Over a connection that stays open, their
// clients could then send requests that the proxy does not check. Call it before the answer.
//
// Over HTTP/2 it does nothing: a stream ends with its answer, and closing the connection
// would end the other requests.
func CloseAfterAnswer(w http.ResponseWriter, r *http.Request, status int) {
	if r.ProtoMajor != 1 {
		return
	}
	options := []string{"close"} // first, because net/http looks only at the first line
	if status == http.StatusUpgradeRequired {
		options = append(options, "Upgrade") // it goes with the header Upgrade (RFC 9110, section 7.8)
	}
	if r.ContentLength != 0 {
		// After the answer net/http reads a body of up to 256 KiB, for which the client may take
		// any time.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now()) // without deadlines net/http's own limits apply
	}
	// A component may have a header of its own, and copy only a part of it.
	for range httpx.MaxWriters {
		if h := w.Header(); h != nil {
			h["Connection"] = slices.Clone(options)
		}
		if w = httpx.Unwrap(w); w == nil {
			break
		}
	}
}

// BrokenError is a handshake that failed after its answer had begun. The connection must
// not continue as HTTP: a proxy in front takes it for a tunnel and does not check requests
// in it.
type BrokenError struct {
	Closed bool // the connection was taken over from net/http and is closed
	Err    error
}

// Error implements error.
func (e *BrokenError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *BrokenError) Unwrap() error { return e.Err }

// IsClosed reports whether err is a BrokenError whose connection is closed.
func IsClosed(err error) bool {
	var broken *BrokenError
	return errors.As(err, &broken) && broken.Closed
}
