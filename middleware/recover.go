package middleware

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/speakingtube/speakingtube/internal/httpx"
	"github.com/speakingtube/speakingtube/pipeline"
)

// RecoverOptions configure [Recover].
type RecoverOptions struct {
	// Logger gets a record for each failure, with method, path and the id from [RequestID],
	// with which AccessLog's record can be found. The level is Error if the answer is a 5xx
	// or had started, with the stack of a panic; Info if Problem or a *[Problem] maps it to
	// a 4xx; Debug if the client has left and the answer would be a 5xx. Default: slog.Default(), evaluated each time.
	Logger *slog.Logger

	// Problem maps an error to its answer. It is called first for every failure: a panic
	// (err is a *[PanicError] then), or an error passed to [Fail]; use errors.As and
	// errors.Is on err. nil, and a nil result, mean the default: a *[Problem] that err is
	// or wraps is the answer, an http.MaxBytesError is a 413, context.DeadlineExceeded a
	// 504, and all other errors a 500 without details. Errors of the request's body are the
	// client's: 400 if it is malformed, 408 if a read deadline has passed, 499 if the
	// client has left. So are http.ErrNotMultipart, ErrMissingBoundary and ErrMissingFile
	// (400), and multipart.ErrMessageTooLarge (413).
	Problem func(r *http.Request, err error) *Problem

	// Handler writes the answer instead of [WriteProblem]. It is called only if the
	// response has not started. p is a complete copy with the texts for the client. err is
	// the failure: it may contain secrets; use it for decisions and do not send it to the
	// client. The header Cache-Control: no-store and p's Header are set and may be changed.
	// If Handler writes nothing, p.Status is sent without a body.
	Handler func(w http.ResponseWriter, r *http.Request, p *Problem, err error)
}

// Recover answers the failures of the handlers behind it and keeps the server running:
// their panics, and the errors that a [HandlerFunc] returns or that are passed to [Fail].
// The client gets the answer for the error (see RecoverOptions.Problem), by default a
// generic 500, as application/problem+json (RFC 9457), or as HTML or plain text if its Accept
// header prefers these (see [WriteProblem]); the log gets the error, and the stack of a panic.
//
// If the response has started, or output is in a buffer of a component above, it can't be
// undone: the failure is logged and the connection aborted, so that the client sees a
// broken response rather than a wrong one. http.ErrAbortHandler, also wrapped, passes
// through without a log.
//
// A failure after the end of the request counts as its consequence, whether or not the
// error wraps the context's (those of many database drivers do not). If the client has left,
// the status is 499 instead of any 5xx, for the components around to log. If [Timeout] or
// another deadline has cancelled the request, the error that Problem gets also wraps
// [ErrTimeout] or the deadline's cause, and context.DeadlineExceeded, so the answer is a 504
// unless the error is or wraps a *[Problem]. Panics of the runtime, and those with a value
// that is not an error, remain mistakes: a 500.
//
// Headers that components set before the failure are kept, except those that describe the
// lost body or an upgrade. If the answer itself panics (in Handler or Problem, or in an
// OnStarting callback), that is logged too and the built-in answer is tried.
//
// It corresponds to ASP.NET Core's UseExceptionHandler, without re-execution: use Handler
// for a page of your own.
//
//go:noinline
func Recover(opts RecoverOptions) pipeline.Middleware {
	f := opts.failureHandler()
	return func(next http.Handler) http.Handler { return recovering(f, next) }
}

func (opts RecoverOptions) failureHandler() *failureHandler {
	f := &failureHandler{opts.Logger, opts.Problem, opts.Handler}
	if f.write == nil {
		f.write = writeDefault
	}
	return f
}

func recovering(f *failureHandler, next http.Handler) http.Handler {
	outermost := pipeline.Observe(f.outermost)(next)
	inner := pipeline.ObserveWriter(f.inner)(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, observed := pipeline.ResponseFrom(r.Context()); observed {
			inner.ServeHTTP(w, r)
			return
		}
		outermost.ServeHTTP(w, r)
	})
}

// outermost also answers panics of OnStarting callbacks that run when the response of
// handlers that wrote nothing starts: no component above observes, so it starts that
// response itself, inside its own recovery.
func (f *failureHandler) outermost(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
	body := watchBody(r)
	if body == nil {
		res.SetValue(scopeKey{}, f)
	} else {
		r.Body = body // r is the Response's own copy
		res.SetValue(scopeKey{}, &outermostScope{f, body})
	}
	defer func() {
		if v := recover(); v != nil {
			f.handle(w, r, res.Started, body, newPanicError(v))
		}
	}()
	next.ServeHTTP(w, r)
	if !res.Started() {
		w.WriteHeader(http.StatusOK)
	}
}

// inner runs below a component that observes, and possibly below one that buffers. So
// output to its own writer counts too.
func (f *failureHandler) inner(w http.ResponseWriter, r *http.Request, own *pipeline.Response, next http.Handler) {
	outer, _ := pipeline.ResponseFrom(r.Context())
	s := &scope{f, func() bool { return own.Started() || outer.Started() }, watchBody(r)}
	defer func() {
		if v := recover(); v != nil {
			f.handle(w, r, s.started, s.body, newPanicError(v))
		}
	}()
	scoped := r.WithContext(context.WithValue(r.Context(), scopeKey{}, s))
	if s.body != nil {
		scoped.Body = s.body
	}
	defer httpx.CopyBack(r, scoped)
	next.ServeHTTP(w, scoped)
}
