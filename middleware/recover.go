package middleware

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/speakingtube/speakingtube/pipeline"
)

// RecoverOptions configure [Recover].
type RecoverOptions struct {
	// Logger gets a record for each failure, with method, path and the id that
	// [RequestID] gave, by which AccessLog's is found: level Error where the
	// answer is a 5xx, or had begun already, with the stack of a panic; Info for what Problem or a *[Problem] maps to a 4xx; Debug where
	// the client has left. Default: slog.Default(), asked each time.
	Logger *slog.Logger

	// Problem maps an error to its answer. It is asked first, for every
	// failure, be it a panic (err is a *[PanicError] then) or what was given to
	// [Fail]; use errors.As and errors.Is on err. nil, and a nil result, mean
	// the default: a *[Problem] that err is or wraps is answered as it says, an
	// http.MaxBytesError is a 413, context.DeadlineExceeded a 504, all else a 500
	// that tells nothing.
	Problem func(r *http.Request, err error) *Problem

	// Handler writes the answer instead of [WriteProblem]. It is called only
	// where the response has not started. p is a complete copy of what the
	// client may read. err is the failure: it may hold secrets and is for
	// decisions, not for the client. The header Cache-Control: no-store and p's
	// Header are set and may be changed. A Handler that writes nothing sends
	// p.Status without a body.
	Handler func(w http.ResponseWriter, r *http.Request, p *Problem, err error)
}

// Recover answers for the failures of the handlers behind it, and keeps the
// server up: their panics, and the errors that a [HandlerFunc] returns or that are
// given to [Fail]. The client reads what the error is mapped to (see
// RecoverOptions.Problem), by default a generic 500, as application/problem+json
// (RFC 9457), HTML or plain text by its Accept header; the log gets the error, and
// the stack of a panic.
//
// Where the response has started already, or something was written into a buffer
// that a component above holds back, nothing can be taken back: the failure is
// logged and the connection aborted, so that the client sees a broken response
// rather than a wrong one. http.ErrAbortHandler, also wrapped, passes through
// unlogged. Where the client has left (the request's context is cancelled, and
// the error is that or an I/O error) there is nobody to answer: the status is 499,
// for the components around to log.
//
// Headers that components set before the failure are kept, save those that
// describe the lost body or an upgrade. If the answer itself panics (in Handler or
// Problem, or in an OnStarting callback), that is logged as well and the built-in
// answer is tried.
//
// It is ASP.NET Core's UseExceptionHandler, without re-execution: where another
// page is wanted, Handler writes it.
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
		if _, observed := pipeline.ResponseFrom(r); observed {
			inner.ServeHTTP(w, r)
			return
		}
		outermost.ServeHTTP(w, r)
	})
}

// outermost also answers for OnStarting callbacks that panic while the response
// to handlers that wrote nothing is started: as nothing above observes, it
// starts that response itself, under its own protection.
func (f *failureHandler) outermost(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
	res.SetValue(scopeKey{}, f)
	defer func() {
		if v := recover(); v != nil {
			f.handle(w, r, res.Started, newPanicError(v))
		}
	}()
	next.ServeHTTP(w, r)
	if !res.Started() {
		w.WriteHeader(http.StatusOK)
	}
}

// inner stands below something that observes, and maybe below something that
// buffers: what counts is also what was written to its own writer.
func (f *failureHandler) inner(w http.ResponseWriter, r *http.Request, own *pipeline.Response, next http.Handler) {
	outer, _ := pipeline.ResponseFrom(r)
	s := &scope{f, func() bool { return own.Started() || outer.Started() }}
	defer func() {
		if v := recover(); v != nil {
			f.handle(w, r, s.started, newPanicError(v))
		}
	}()
	scoped := r.WithContext(context.WithValue(r.Context(), scopeKey{}, s))
	defer handBack(r, scoped)
	next.ServeHTTP(w, scoped)
}

// handBack does for the request that was copied what net/http does for its own
// only: it removes the files of a form that was parsed below, and hands up the
// pattern that a ServeMux has noted.
func handBack(outer, inner *http.Request) {
	if inner.Pattern != outer.Pattern {
		outer.Pattern = inner.Pattern
	}
	if form := inner.MultipartForm; form != nil && form != outer.MultipartForm {
		_ = form.RemoveAll()
	}
}
