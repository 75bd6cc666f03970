package middleware

import (
	"errors"
	"net/http"

	"github.com/speakingtube/speakingtube/internal/httpx"
	"github.com/speakingtube/speakingtube/pipeline"
)

// HandlerFunc is an http.HandlerFunc that may fail: the innermost [Recover] (or
// [DeveloperErrorPage]) above logs and answers the returned error as for [Fail]. Return a
// *[Problem] to choose the answer.
//
// A HandlerFunc that returns an error must not have written an answer: if it has, even into
// a buffer of a component above, the connection is aborted.
type HandlerFunc func(w http.ResponseWriter, r *http.Request) error

// ServeHTTP implements http.Handler.
func (f HandlerFunc) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	serveFailing(f).ServeHTTP(w, r)
}

// serveFailing observes the handler's own writer, because there may be a buffer between it
// and the next Recover.
var serveFailing = pipeline.ObserveWriter(func(w http.ResponseWriter, r *http.Request, own *pipeline.Response, f http.Handler) {
	s, watched := scope{}, false
	if body := watchBody(r); body != nil {
		if s, watched = scopeOf(r), true; s.body == nil { // there is no Recover above
			s.body = body
			inner := r.WithContext(r.Context())
			inner.Body = body
			defer httpx.CopyBack(r, inner)
			r = inner
		}
	}
	if err := f.(HandlerFunc)(w, r); err != nil {
		if !watched {
			s = scopeOf(r)
		}
		s.fail(w, r, own, err)
	}
})

// Fail answers a request with an error, for handlers that are not a [HandlerFunc]. The
// caller must return afterwards and write nothing more.
//
// The innermost [Recover] (or [DeveloperErrorPage]) above decides about mapping, answer and
// log, as for a panic but without a stack; it is found through the request's context. If
// there is none, Recover's defaults apply and slog.Default() logs. An err that is or wraps
// http.ErrAbortHandler aborts the connection; nil is a mistake of the caller and is
// answered as an error.
//
// If the response has started, Fail logs and panics with http.ErrAbortHandler. It can't
// detect output in the buffer of a component that is not of package pipeline (for example
// http.TimeoutHandler), a status that [StatusPages] holds back, or output where no
// component above observes the response. So call Fail before writing, or use a HandlerFunc,
// which detects these.
func Fail(w http.ResponseWriter, r *http.Request, err error) {
	if err == nil {
		err = errors.New("middleware.Fail was called with a nil error")
	}
	s := scopeOf(r)
	s.handle(w, r, s.started, s.body, err)
}
