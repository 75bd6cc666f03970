package middleware

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/speakingtube/speakingtube/pipeline"
)

// ErrTimeout is what errors.Is finds in the cause of a request that [Timeout] has
// cancelled: in context.Cause(r.Context()), and in what RecoverOptions.Problem is
// asked about. context.DeadlineExceeded is found there as well.
var ErrTimeout = errors.New("middleware: the request timed out")

// timeoutError is the cause, one for each Timeout.
type timeoutError struct{ after time.Duration }

func (e *timeoutError) Error() string {
	return fmt.Sprintf("middleware: the request was not answered within %v", e.after)
}
func (e *timeoutError) Is(target error) bool {
	return target == ErrTimeout || target == context.DeadlineExceeded
}
func (e *timeoutError) Timeout() bool { return true }

// Timeout cancels the context of a request that the handlers behind it have not
// finished within d. When they have returned and nothing was sent, the answer is
// a 504, by way of [Fail]: RecoverOptions.Problem may map [ErrTimeout] to another.
//
// A HANDLER THAT IGNORES ITS CONTEXT IS NOT CUT. Nothing is answered before the
// handlers have returned; what waits without looking at the context (a lock, a
// slow client's body, which http.Server.ReadTimeout is for) holds the request as
// long as it likes. Nothing can stop a goroutine from outside: http.TimeoutHandler
// answers in its stead and leaves it running, with a response that it has held in
// a buffer. Timeout has no goroutine of its own and buffers nothing; so it can't
// take back a response that has started either, which its handler has to end, or
// to abort with http.ErrAbortHandler.
//
// Handlers see an ordinary deadline: r.Context().Deadline() has it, Err is
// context.DeadlineExceeded and context.Cause is an error for which
// errors.Is(err, ErrTimeout) holds; the contexts that they derive behave alike.
//
// It steps aside, and the context goes on without the deadline, for
//
//   - upgrades: a WebSocket lives as long as it lives;
//   - streams: a response that was flushed, or that has started as
//     text/event-stream, before d is over;
//   - requests for which [DisableTimeout] was called.
//
// A stream that derives a context with a time-out of its own should do so after
// the first flush, or call DisableTimeout first: package context leaves out the
// later of two deadlines.
//
// Where Timeouts are nested, the innermost that a request reaches counts, counted
// from there, be it longer or shorter: the pipeline's says what is usual, a
// branch's what is right there. The ones above are switched off for the request.
//
// d must be positive. It mirrors ASP.NET Core's UseRequestTimeouts, except that
// debuggers get no reprieve.
//
//go:noinline
func Timeout(d time.Duration) pipeline.Middleware {
	cause := &timeoutError{d}
	// What a context that has expired looks like, for package context to copy.
	expired, cancel := context.WithDeadlineCause(context.Background(), time.Unix(0, 0), cause)
	cancel()
	observed := observeOwn(func(w http.ResponseWriter, r *http.Request, own *pipeline.Response, next http.Handler) {
		DisableTimeout(r) // those above
		t := &timeout{parent: r.Context(), own: own, expired: expired, deadline: time.Now().Add(d)}
		ctx, cancel := context.WithCancel(t)
		_ = own.NotifyStarting(t) // nothing below has had the time to start it
		timer := time.AfterFunc(d, t.expire)
		inner := r.WithContext(ctx)
		defer func() {
			timer.Stop()
			t.state.CompareAndSwap(timeoutRuns, timeoutOff)
			cancel()
			handBack(r, inner)
		}()
		next.ServeHTTP(w, inner)
		if t.state.Load() == timeoutExpired && !own.Started() {
			failOwn(w, r, own, cause)
		}
	})
	return func(next http.Handler) http.Handler {
		if d <= 0 {
			panic(&pipeline.ConfigError{Component: "middleware.Timeout", Problem: fmt.Sprintf("the time-out is %v: give a positive one, or leave the component out", d)})
		}
		return observed(next)
	}
}

// DisableTimeout switches off the [Timeout] of a request, for a handler that finds
// out in the middle that it will take its time. It reports false if that is too
// late: the request has timed out. It may be called from any goroutine, and does
// nothing where there is no Timeout.
//
// It mirrors ASP.NET Core's IHttpRequestTimeoutFeature.DisableTimeout.
func DisableTimeout(r *http.Request) bool {
	inTime := true
	for ctx := r.Context(); ; {
		t, ok := ctx.Value(timeoutKey{}).(*timeout)
		if !ok {
			return inTime
		}
		if !t.state.CompareAndSwap(timeoutRuns, timeoutOff) && t.state.Load() == timeoutExpired {
			inTime = false
		}
		ctx = t.parent
	}
}

type timeoutKey struct{}

const (
	timeoutRuns uint32 = iota
	timeoutOff
	timeoutExpired
)

// timeout is the parent of the context that handlers get. That one is package
// context's own, so that everything derived from it is as cheap and as right as
// usual; when the time is over it is cancelled by way of AfterFunc, and copies
// Err and Cause from here.
type timeout struct {
	parent   context.Context
	own      *pipeline.Response
	expired  context.Context // one that has expired, with our cause
	deadline time.Time

	state  atomic.Uint32
	stream atomic.Bool // the response has started as a stream of events
	cancel func()      // cancels the child; set by AfterFunc, before the timer starts
}

// expire is called when the time is over.
func (t *timeout) expire() {
	to := timeoutExpired
	if t.aside() {
		to = timeoutOff
	}
	if t.state.CompareAndSwap(timeoutRuns, to) && to == timeoutExpired {
		t.cancel()
	}
}

// aside reports whether the response has become something that may last.
func (t *timeout) aside() bool { return t.own.Upgraded() || t.own.Flushed() || t.stream.Load() }

// Starting implements pipeline.Starter.
func (t *timeout) Starting(h http.Header, _ int) {
	if kind, _, _ := mime.ParseMediaType(h.Get("Content-Type")); kind == "text/event-stream" {
		t.stream.Store(true)
	}
}

// Deadline implements context.Context: ours, as long as it holds.
func (t *timeout) Deadline() (time.Time, bool) {
	d, ok := t.parent.Deadline()
	if t.state.Load() == timeoutOff || t.aside() || ok && d.Before(t.deadline) {
		return d, ok
	}
	return t.deadline, true
}

// Done implements context.Context. Only package context asks, to see whether it
// knows a cheaper way than AfterFunc.
func (t *timeout) Done() <-chan struct{} { return never }

var never = make(chan struct{})

// AfterFunc is package context's hook for parents that are not its own: f
// cancels the child.
func (t *timeout) AfterFunc(f func()) (stop func() bool) {
	t.cancel = f
	return context.AfterFunc(t.parent, f)
}

// Err implements context.Context.
func (t *timeout) Err() error {
	if t.state.Load() == timeoutExpired {
		return context.DeadlineExceeded
	}
	return t.parent.Err()
}

// Value implements context.Context. Under a key of its own package context finds
// the cause.
func (t *timeout) Value(key any) any {
	if key == (timeoutKey{}) {
		return t
	}
	if t.state.Load() == timeoutExpired {
		if v := t.expired.Value(key); v != nil {
			return v
		}
	}
	return t.parent.Value(key)
}
