package middleware

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/url"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/speakingtube/speakingtube/internal/httpx"
	"github.com/speakingtube/speakingtube/internal/logattrs"
	"github.com/speakingtube/speakingtube/pipeline"
)

// PanicError is the error for a panic in the calls of [RecoverOptions]' functions. Unwrap
// returns the value if it is an error.
//
// If you recover a panic on another goroutine, panic again on the request's goroutine with
// a *PanicError: its Stack is logged then.
type PanicError struct {
	Value any    // the value passed to panic; a *runtime.PanicNilError for nil
	Stack []byte // of the goroutine, as debug.Stack returns it

	pcs []uintptr // of the same stack, for DeveloperErrorPage
}

// Error implements error.
func (e *PanicError) Error() string { return "panic: " + fmt.Sprint(e.Value) }

// Unwrap returns the value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// newPanicError must be called by the function that recovered.
func newPanicError(v any) *PanicError {
	if e, ok := v.(*PanicError); ok && e != nil {
		return e
	}
	pcs := make([]uintptr, 128)
	return &PanicError{Value: v, Stack: debug.Stack(), pcs: pcs[:runtime.Callers(2, pcs)]}
}

// failureHandler logs and answers the failures of the handlers below, from a panic or from
// Fail.
type failureHandler struct {
	logger *slog.Logger                        // nil: slog.Default()
	mapped func(*http.Request, error) *Problem // nil: none
	write  func(http.ResponseWriter, *http.Request, *Problem, error)
}

// handle logs a failure and answers it, or aborts if a part of the response was sent. body
// is the request's, nil if it has none.
func (f *failureHandler) handle(w http.ResponseWriter, r *http.Request, started func() bool, body watchedBody, err error) {
	if isAbort(err) {
		panic(http.ErrAbortHandler) // unwrapped, because net/http compares the value
	}
	end := endOf(r)
	err, left := attribute(err, end, body)
	if left {
		f.answerClientGone(w, r, started, err)
		return
	}
	p, second := f.problem(r, err)
	if end.left && p.Status >= http.StatusInternalServerError && !isMistake(err) {
		// Many libraries do not wrap the context's error.
		f.reportSecond(r, second, started)
		f.answerClientGone(w, r, started, err)
		return
	}
	f.report(r, err, p.Status, started())
	f.reportSecond(r, second, started)
	if started() {
		panic(http.ErrAbortHandler)
	}
	dropLostAnswer(w.Header())
	w.Header().Set("Cache-Control", "no-store")
	p.setHeader(w.Header())
	if second := catchPanic(func() { f.write(w, r, p, err) }); second != nil {
		f.reportSecond(r, second, started)
		if started() {
			panic(http.ErrAbortHandler)
		}
		// Callbacks run once, so the one that panicked does not run again.
		if catchPanic(func() { WriteProblem(w, r, p) }) != nil {
			panic(http.ErrAbortHandler)
		}
	}
	if !started() {
		w.WriteHeader(p.Status)
	}
}

// answerClientGone ends a request whose client has left. Only the components around see the
// status.
func (f *failureHandler) answerClientGone(w http.ResponseWriter, r *http.Request, started func() bool, err error) {
	f.log(r, slog.LevelDebug, "the client left", slog.String("err", fmt.Sprint(err)), responseGroup(started()))
	if started() {
		panic(http.ErrAbortHandler)
	}
	dropLostAnswer(w.Header())
	if catchPanic(func() { w.WriteHeader(statusClientGone) }) != nil {
		panic(http.ErrAbortHandler)
	}
}

// problem maps err to the answer. second is a panic of one of the application's functions
// meanwhile, as an error.
func (f *failureHandler) problem(r *http.Request, err error) (p *Problem, second error) {
	second = catchPanic(func() {
		if f.mapped != nil {
			p = f.mapped(r, err)
		}
	})
	if p == nil {
		// errors.As may panic too: it calls methods of the error.
		if failed := catchPanic(func() { p = defaultProblem(err) }); failed != nil && second == nil {
			second = failed
		}
	}
	return p.complete(), second
}

// defaultProblem does not reveal err, except the parts meant for clients. nil gives a 500.
func defaultProblem(err error) *Problem {
	var p *Problem
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &p) && p != nil:
		return p
	case errors.As(err, &tooLarge), errors.Is(err, multipart.ErrMessageTooLarge):
		return &Problem{Status: http.StatusRequestEntityTooLarge}
	case errors.Is(err, http.ErrNotMultipart), errors.Is(err, http.ErrMissingBoundary), errors.Is(err, http.ErrMissingFile), isFormError(err):
		return &Problem{Status: http.StatusBadRequest}
	case errors.Is(err, context.DeadlineExceeded):
		return &Problem{Status: http.StatusGatewayTimeout}
	}
	return nil
}

// isFormError reports whether err is that of a malformed form or query, for which net/http
// and mime/multipart have no exported values.
func isFormError(err error) bool {
	var escape url.EscapeError
	if errors.As(err, &escape) {
		var other *url.Error // of a URL that need not be the client's
		return !errors.As(err, &other)
	}
	if isMistake(err) {
		return false
	}
	text := err.Error()
	return strings.Contains(text, "invalid semicolon separator in query") ||
		strings.Contains(text, "multipart: NextPart: ") || strings.Contains(text, "multipart: expecting a new Part")
}

// catchPanic returns a panic of f as an error, nil if there is none.
func catchPanic(f func()) (second error) {
	defer func() {
		if v := recover(); v != nil {
			second = newPanicError(v)
		}
	}()
	f()
	return nil
}

// isAbort reports whether err is or wraps http.ErrAbortHandler.
func isAbort(err error) (is bool) {
	defer func() { _ = recover() }() // a method of the error panicked; it is not an abort then
	return errors.Is(err, http.ErrAbortHandler)
}

// attribute finds out whether a failure is the consequence of a request that has ended, or
// of the body that the client sent. It returns the error with that reason, and whether the
// client has left.
func attribute(err error, end requestEnd, body watchedBody) (attributed error, left bool) {
	original := err
	defer func() {
		if recover() != nil { // in a method of the error: it has no reason then
			attributed, left = original, false
		}
	}()
	if isMistake(err) {
		return err, false
	}
	if end.left && (errors.Is(err, context.Canceled) || isConnectionError(err)) {
		return err, true
	}
	if body != nil {
		if failed := body.failure(); failed != nil && causedBy(err, failed) {
			switch status := bodyStatus(failed); {
			case status != statusClientGone:
				err = withReason(err, &Problem{Status: status})
			case end.timeout == nil:
				return err, true
			}
		}
	}
	if end.timeout != nil {
		err = withReason(err, end.timeout)
	}
	return err, false
}

// report logs a failure that is answered with status.
func (f *failureHandler) report(r *http.Request, err error, status int, started bool) {
	level := slog.LevelInfo
	if status >= 500 || started { // a broken response is not only the client's matter
		level = slog.LevelError
	}
	message := "a handler failed"
	p, panicked := err.(*PanicError)
	cause := slog.Any("err", err)
	if panicked {
		message, cause = "a handler panicked", slog.Any("panic", p.Value)
	}
	if level == slog.LevelInfo {
		message = "a request was refused"
	}
	response := responseGroup(true)
	if !started {
		response = responseGroup(false, slog.Int(logattrs.ResponseStatus, status))
	}
	attrs := []slog.Attr{cause, response}
	if panicked && level == slog.LevelError {
		attrs = append(attrs, slog.String("stack", string(p.Stack)))
	}
	f.log(r, level, message, attrs...)
}

// reportSecond logs a failure of the error handling itself, unless err is nil. If err is
// http.ErrAbortHandler, it panics with that value.
func (f *failureHandler) reportSecond(r *http.Request, err error, started func() bool) {
	if err == nil {
		return
	}
	if isAbort(err) {
		panic(http.ErrAbortHandler)
	}
	attrs := []slog.Attr{slog.Any("panic", err), responseGroup(started())}
	if p, ok := err.(*PanicError); ok {
		attrs[0] = slog.Any("panic", p.Value)
		attrs = append(attrs, slog.String("stack", string(p.Stack)))
	}
	f.log(r, slog.LevelError, "the answer to a failure panicked", attrs...)
}

func (f *failureHandler) log(r *http.Request, level slog.Level, message string, attrs ...slog.Attr) {
	logger := f.logger
	if logger == nil {
		logger = slog.Default()
	}
	if !logger.Enabled(r.Context(), level) {
		return
	}
	request := []slog.Attr{
		slog.String(logattrs.RequestMethod, httpx.Truncate(r.Method, maxLogged)),
		slog.String(logattrs.RequestPath, httpx.Truncate(httpx.RequestPath(r), maxLogged)),
	}
	if id := RequestIDFrom(r.Context()); id != "" {
		request = append(request, slog.String(logattrs.RequestID, id))
	}
	attrs = append([]slog.Attr{logattrs.Group(logattrs.Request, request...)}, attrs...)
	logger.LogAttrs(r.Context(), level, message, attrs...)
}

// responseGroup returns the attributes of the response to a request that has failed.
func responseGroup(started bool, more ...slog.Attr) slog.Attr {
	return logattrs.Group(logattrs.Response, append(more, slog.Bool(logattrs.ResponseStarted, started))...)
}

// dropLostAnswer removes the headers of the body, or the upgrade, that is not sent.
func dropLostAnswer(h http.Header) {
	for name, values := range h {
		if name == "Connection" && httpx.ListContains(values, "close") {
			h.Set("Connection", "close") // http.MaxBytesReader requires it, and a refused upgrade
			continue
		}
		if describesBody(name) || name == "Connection" || name == "Upgrade" || strings.HasPrefix(name, "Sec-Websocket-") {
			h.Del(name)
		}
	}
}

// describesBody reports whether a header describes a body.
func describesBody(name string) bool {
	switch name {
	case "Accept-Ranges", "Digest", "Etag", "Expires", "Last-Modified", "Repr-Digest", "Trailer", "Transfer-Encoding":
		return true
	}
	return strings.HasPrefix(name, "Content-") && !strings.HasPrefix(name, "Content-Security-Policy")
}

// scope is the innermost failureHandler above a handler, a function that reports whether
// the response was written to since, and the request's body.
type scope struct {
	*failureHandler
	started func() bool
	body    watchedBody // nil: none
}

type scopeKey struct{}

// outermostScope is the value in the Response for a Recover that is the outermost observer
// of a request with a body. Without a body it is the *failureHandler itself.
type outermostScope struct {
	*failureHandler
	body watchedBody
}

// defaultFailureHandler answers if there is no Recover above.
var defaultFailureHandler = &failureHandler{write: writeDefault}

func writeDefault(w http.ResponseWriter, r *http.Request, p *Problem, _ error) { WriteProblem(w, r, p) }

// scopeOf finds the scope of a request. A Recover that is the outermost observer is stored
// in the Response, which saves a copy of the request; those below are in the context, and
// therefore closer.
func scopeOf(r *http.Request) scope {
	if s, ok := r.Context().Value(scopeKey{}).(*scope); ok {
		return *s
	}
	body, _ := r.Body.(watchedBody)
	res, ok := pipeline.ResponseFrom(r.Context())
	if !ok {
		return scope{defaultFailureHandler, func() bool { return false }, body}
	}
	switch s := res.Value(scopeKey{}).(type) {
	case *failureHandler:
		return scope{s, res.Started, body}
	case *outermostScope:
		return scope{s.failureHandler, res.Started, s.body}
	}
	return scope{defaultFailureHandler, res.Started, body}
}

// fail is [Fail] for a component that observes its own writer.
func (s scope) fail(w http.ResponseWriter, r *http.Request, own *pipeline.Response, err error) {
	s.handle(w, r, func() bool { return own.Started() || s.started() }, s.body, err)
}
