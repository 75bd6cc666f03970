package middleware

import (
	"errors"
	"net/http"

	"github.com/speakingtube/speakingtube/pipeline"
)

// HandlerFunc is an http.HandlerFunc that may fail: the error that it returns is
// logged and answered as [Fail] does, by the innermost [Recover] (or
// [DeveloperErrorPage]) above. Return a *[Problem] to choose the answer.
//
// It must not have written an answer when it returns an error: where something was
// written already, be it into a buffer of a component above, the connection is
// aborted.
type HandlerFunc func(w http.ResponseWriter, r *http.Request) error

// ServeHTTP implements http.Handler.
func (f HandlerFunc) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	serveFailing(f).ServeHTTP(w, r)
}

// serveFailing watches the handler's own writer, as there may be a buffer between
// it and the next Recover.
var serveFailing = pipeline.ObserveWriter(func(w http.ResponseWriter, r *http.Request, own *pipeline.Response, f http.Handler) {
	if err := f.(HandlerFunc)(w, r); err != nil {
		s := scopeOf(r)
		s.handle(w, r, func() bool { return own.Started() || s.started() }, err)
	}
})

// Fail answers a request with an error, for handlers that are no [HandlerFunc].
// The caller returns afterwards and writes nothing more.
//
// The innermost [Recover] (or [DeveloperErrorPage]) above decides about mapping,
// answer and log, as for a panic but without a stack; it is found through the
// request's context. Where there is none, the answer is the one of Recover's
// defaults, and slog.Default() logs. An err that is http.ErrAbortHandler, or wraps
// it, aborts; nil is a mistake of the caller's, and answered as one.
//
// If the response has started, Fail logs and panics with http.ErrAbortHandler.
// It can't see what lies in the buffer of a component in between that is not of
// package pipeline (http.TimeoutHandler, say), nor a status that [StatusPages] holds
// back, or what was written where nothing
// above observes the response: so fail first and write then, or use a
// HandlerFunc, which does see it.
func Fail(w http.ResponseWriter, r *http.Request, err error) {
	if err == nil {
		err = errors.New("middleware.Fail was called with a nil error")
	}
	s := scopeOf(r)
	s.handle(w, r, s.started, err)
}
