package middleware

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/speakingtube/speakingtube/internal/httpx"
	"github.com/speakingtube/speakingtube/pipeline"
)

// ErrTimeout is in the error chain of the cause of a request that [Timeout] has cancelled:
// in context.Cause(r.Context()), and in the error passed to RecoverOptions.Problem.
// context.DeadlineExceeded is in that chain too.
var ErrTimeout = errors.New("middleware: the request timed out")

// timeoutError is the cause; each Timeout has one.
type timeoutError struct{ after time.Duration }

func (e *timeoutError) Error() string {
	return fmt.Sprintf("middleware: the request was not answered within %v", e.after)
}
func (e *timeoutError) Is(target error) bool {
	return target == ErrTimeout || target == context.DeadlineExceeded
}
func (e *timeoutError) Timeout() bool { return true }

// Timeout cancels the context of a request that the handlers behind it have not finished
// within d. If nothing was sent when they have returned, the answer is a 504, through
// [Fail]: RecoverOptions.Problem may map [ErrTimeout] to another answer.
//
// A HANDLER THAT IGNORES ITS CONTEXT IS NOT STOPPED. The answer is sent only when the
// handlers have returned; a handler that waits without checking the context (for a lock, or
// for a slow client's body, which http.Server.ReadTimeout limits) can hold the request for
// any time. Go can't stop a goroutine from outside: http.TimeoutHandler answers in its
// place and leaves it running, with a buffered response. Timeout has no goroutine of its
// own and buffers nothing; so it can't undo a response that has started either. The handler
// has to finish it, or abort with http.ErrAbortHandler.
//
// Handlers see an ordinary deadline: r.Context().Deadline() returns it, Err is
// context.DeadlineExceeded, and context.Cause is an error for which errors.Is(err,
// ErrTimeout) holds; derived contexts behave alike.
//
// Timeout does not apply, and the context continues without the deadline, for
//
//   - upgrades: a WebSocket may live for any time;
//   - streams: a response that was flushed, or that has started as text/event-stream,
//     before d has passed;
//   - requests for which [DisableTimeout] was called.
//
// Streams end by themselves when the server drains, see pipeline.Draining.
//
// A stream that derives a context with a timeout of its own should do so after the first
// flush, or call DisableTimeout first: package context omits the later of two deadlines.
//
// If Timeouts are nested, the innermost that a request reaches applies, counted from that
// point, whether it is longer or shorter: the pipeline's is the usual limit, a branch's
// replaces it. The ones above are disabled for the request.
//
// d must be positive. It corresponds to ASP.NET Core's UseRequestTimeouts, except that it
// also applies under a debugger.
//
//go:noinline
func Timeout(d time.Duration) pipeline.Middleware {
	cause := &timeoutError{d}
	// An expired context, as a template for package context.
	expired, cancel := context.WithDeadlineCause(context.Background(), time.Unix(0, 0), cause)
	cancel()
	observed := observeBelow(func(w http.ResponseWriter, r *http.Request, own *pipeline.Response, next http.Handler) {
		DisableTimeout(r) // disables those above
		t := &timeout{parent: r.Context(), own: own, expired: expired, deadline: time.Now().Add(d)}
		ctx, cancel := context.WithCancel(t)
		_ = own.NotifyStarting(t) // the response can't have started yet
		timer := time.AfterFunc(d, t.expire)
		inner := r.WithContext(ctx)
		defer func() {
			timer.Stop()
			if !t.state.CompareAndSwap(timeoutRuns, timeoutOff) && t.state.Load() == timeoutExpired {
				if res, ok := pipeline.ResponseFrom(r.Context()); ok {
					res.SetValue(timeoutKey{}, cause) // for a Recover above that gets a panic
				}
			}
			cancel()
			httpx.CopyBack(r, inner)
		}()
		next.ServeHTTP(w, inner)
		if t.state.Load() == timeoutExpired && !own.Started() {
			failBelow(w, r, own, cause)
		}
	})
	return func(next http.Handler) http.Handler {
		if d <= 0 {
			panic(&pipeline.ConfigError{Component: "middleware.Timeout", Problem: fmt.Sprintf("the timeout is %v: use a positive one, or leave the component out", d)})
		}
		return observed(next)
	}
}

// DisableTimeout disables the [Timeout] of a request, for a handler that finds out while
// running that it needs more time. It returns false if the request has already timed out.
// It may be called from any goroutine, and does nothing without a Timeout.
//
// It corresponds to ASP.NET Core's IHttpRequestTimeoutFeature.DisableTimeout.
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

// timeout is the parent of the context that handlers get. That context is package context's
// own, so derived contexts have the usual cost and behaviour. When the time has passed it
// is cancelled through AfterFunc, and copies Err and Cause from timeout.
type timeout struct {
	parent   context.Context
	own      *pipeline.Response
	expired  context.Context // an expired context with our cause
	deadline time.Time

	state  atomic.Uint32
	stream atomic.Bool // the response has started as an event stream
	cancel func()      // cancels the child; set by AfterFunc, before the timer starts
}

// expire is called when the time has passed.
func (t *timeout) expire() {
	to := timeoutExpired
	if t.isExempt() || t.parent.Err() != nil { // the request has ended before, for another reason
		to = timeoutOff
	}
	if t.state.CompareAndSwap(timeoutRuns, to) && to == timeoutExpired {
		t.cancel()
	}
}

// isExempt reports whether the response has become an upgrade or a stream, which may last.
func (t *timeout) isExempt() bool { return t.own.Upgraded() || t.own.Flushed() || t.stream.Load() }

// Starting implements pipeline.Starter.
func (t *timeout) Starting(h http.Header, _ int) {
	if kind, _, _ := mime.ParseMediaType(h.Get("Content-Type")); kind == "text/event-stream" {
		t.stream.Store(true)
	}
}

// Deadline implements context.Context: the deadline, while it applies.
func (t *timeout) Deadline() (time.Time, bool) {
	d, ok := t.parent.Deadline()
	if t.state.Load() == timeoutOff || t.isExempt() || ok && d.Before(t.deadline) {
		return d, ok
	}
	return t.deadline, true
}

// Done implements context.Context. Only package context calls it, to check for a cheaper
// way than AfterFunc.
func (t *timeout) Done() <-chan struct{} { return never }

var never = make(chan struct{})

// AfterFunc is package context's hook for parents of other types: f cancels the child.
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

// Value implements context.Context. Package context finds the cause under a key of its own.
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
