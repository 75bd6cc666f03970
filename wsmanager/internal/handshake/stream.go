package handshake

import (
	"fmt"
	"net/http"
	"time"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

// prepareStream replaces the server's deadlines, which are meant for ordinary requests.
// The deadline of a stream can't be moved after it has passed.
func prepareStream(w http.ResponseWriter, timeout time.Duration) error {
	rc := http.NewResponseController(w)
	err := rc.SetReadDeadline(time.Time{})
	if err == nil {
		err = rc.SetWriteDeadline(time.Now().Add(timeout))
	}
	if err != nil {
		return Failure(fmt.Errorf("the http.ResponseWriter has no deadlines, without which a stream can't be closed at once: nothing of %s is net/http's own; http.TimeoutHandler is the usual reason: %w", writerTypes(w), err))
	}
	return nil
}

// OpenStream sends a 200, which accepts an extended CONNECT, and returns the writer for
// the data of the stream: net/http's own, below all components. Data is not a response
// body: a component that compresses, for example, would write the beginning of its format
// when it is flushed. The stream has no deadlines then.
//
// An error is a *BrokenError.
func (q *Request) OpenStream(w http.ResponseWriter, a *Answer) (http.ResponseWriter, error) {
	innermost := httpx.Innermost(w)
	err := q.sendAnswer(w, a, func(h http.Header) error {
		announce(w, findStreamWriter(innermost), http.StatusOK, notInStream)
		// If a component stores the status, net/http sends 200 in its place, with this header.
		copyHeader(innermost.Header(), h, notInStream)
		rc := http.NewResponseController(innermost)
		if err := rc.Flush(); err != nil {
			return err
		}
		return rc.SetWriteDeadline(time.Time{})
	})
	if err != nil {
		return nil, &BrokenError{Err: fmt.Errorf("sending the answer: %w", err)}
	}
	return innermost, nil
}
