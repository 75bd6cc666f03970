package wsmanager

import (
	"errors"
	"net/http"

	"github.com/speakingtube/speakingtube/wsmanager/internal/handshake"
)

// ErrHandshake is in the chain of [Dial]'s error when the server has answered with an
// invalid 101, or not with HTTP (RFC 6455, section 4.1).
var ErrHandshake = errors.New("wsmanager: the server's answer is not a WebSocket handshake")

// RefusedError is a handshake that the server, or a proxy on the way, has answered with
// another status than 101.
type RefusedError struct {
	StatusCode int
	Header     http.Header
	Body       []byte // at most the first 4 KiB; incomplete if it came too slowly
	Proxy      bool   // the proxy has answered the CONNECT; the server was not reached

	detail handshake.RefusedDetail
}

// Error implements error. It quotes the beginning of a body that is text, and names the proxy
// that has refused, or the reason why a redirect was not followed.
func (e *RefusedError) Error() string {
	inner := handshake.RefusedError{StatusCode: e.StatusCode, Header: e.Header, Body: e.Body, Proxy: e.Proxy, Detail: e.detail}
	return prefix + inner.Error()
}

// dialError is the error of an attempt to connect. It stands for ErrHandshake if the
// answer was invalid.
type dialError struct{ contextError }

// newDialError converts an error of an attempt, among them those of package handshake.
func newDialError(target *handshake.Target, err error) error {
	doing := "dialling " + target.RedactedURL()
	var redirected *handshake.RedirectedError
	if errors.As(err, &redirected) {
		doing += ", redirected to " + redirected.To
		err = redirected.Err
	}
	var refused *handshake.RefusedError
	if errors.As(err, &refused) {
		err = &RefusedError{refused.StatusCode, refused.Header, refused.Body, refused.Proxy, refused.Detail}
	}
	return &dialError{contextError{doing, err}}
}

// Is reports whether the error stands for target.
func (e *dialError) Is(target error) bool {
	return target == ErrHandshake && errors.Is(e.err, handshake.ErrAnswer)
}
