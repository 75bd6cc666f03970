package middleware

import (
	"context"
	"errors"
	"net"
	"net/http"
)

// ProxyErrorHandler is the ErrorHandler of an httputil.ReverseProxy that answers with
// [Fail]. The default one of package httputil answers every error with 502, also the
// client's own.
//
//	proxy := &httputil.ReverseProxy{Rewrite: rewrite, ErrorHandler: middleware.ProxyErrorHandler}
//
// The answer is 413 if the body is above a [BodyLimit], and that of [Recover] for other
// failures of the body, for a client that left and after a [Timeout]. It is 504 if the
// upstream server did not answer in time, and otherwise 502; an error of ModifyResponse that
// is or wraps a *[Problem] is answered with that. RecoverOptions.Problem gets a
// *[Problem] that wraps err, and can map both to other answers. If the response has started,
// the connection is aborted.
func ProxyErrorHandler(w http.ResponseWriter, r *http.Request, err error) {
	body := scopeOf(r).body
	var tooLarge *http.MaxBytesError
	var own *Problem
	switch {
	case errors.As(err, &tooLarge), errors.As(err, &own),
		body != nil && body.failure() != nil && causedBy(err, body.failure()), endOf(r).timeout != nil:
		Fail(w, r, err) // it has an answer already
		return
	}
	status := http.StatusBadGateway
	var timeout net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		status = http.StatusGatewayTimeout
	}
	Fail(w, r, &Problem{Status: status, Err: err})
}
