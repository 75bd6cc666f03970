package middleware

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"

	"github.com/speakingtube/speakingtube/internal/httpx"
	"github.com/speakingtube/speakingtube/pipeline"
)

// requestEnd says why a request has ended before its answer. The zero value is a request
// that has not.
type requestEnd struct {
	timeout error // the cause, if a deadline has passed; that of a body too slow is a *Problem, others wrap context.DeadlineExceeded
	left    bool  // the client has left
}

// endOf finds out how the request has ended. A deadline that has passed comes first: the
// client may have left because of it.
func endOf(r *http.Request) requestEnd {
	inner := r.Context()
	for ctx := inner; ; {
		t, ok := ctx.Value(timeoutKey{}).(*timeout)
		if !ok {
			break
		}
		if t.state.Load() == timeoutExpired {
			return requestEnd{timeout: context.Cause(t.expired)}
		}
		ctx = t.parent
	}
	if inner.Err() == context.DeadlineExceeded {
		cause := context.Cause(inner)
		if cause != context.DeadlineExceeded {
			cause = &endedError{cause, context.DeadlineExceeded}
		}
		return requestEnd{timeout: cause}
	}
	if res, ok := pipeline.ResponseFrom(r.Context()); ok {
		if cause, ok := res.Value(timeoutKey{}).(*timeoutError); ok {
			return requestEnd{timeout: cause}
		}
		if res.Value(httpx.BodyTooSlowKey{}) == true { // the context is cancelled, but the client is there
			return requestEnd{timeout: &Problem{Status: http.StatusRequestTimeout, Err: pipeline.ErrBodyTooSlow}}
		}
	}
	return requestEnd{left: clientLeft(r)}
}

// clientLeft looks at the request's context and at its parents: the context of a handler
// below [Timeout] is cancelled in a goroutine, and so may be those of other components. A
// read of the body can fail earlier.
//
// Code that cancels requests to end the server, for example with signal.NotifyContext,
// gives another cause than context.Canceled: such a client has not left.
func clientLeft(r *http.Request) bool {
	ctx := r.Context()
	if outer, ok := ctx.Value(httpx.OuterContextKey{}).(context.Context); ok && context.Cause(outer) == context.Canceled {
		return true
	}
	for {
		if context.Cause(ctx) == context.Canceled {
			return true
		}
		t, ok := ctx.Value(timeoutKey{}).(*timeout)
		if !ok {
			return false
		}
		ctx = t.parent
	}
}

// endedError is a failure of a handler together with the reason why it failed, which the
// errors of many libraries do not wrap. The failure comes first for errors.As.
type endedError struct{ err, reason error }

func (e *endedError) Error() string   { return fmt.Sprintf("%v (%v)", e.err, e.reason) }
func (e *endedError) Unwrap() []error { return []error{e.err, e.reason} }

// withReason adds a reason to err, unless err is or wraps it already.
func withReason(err, reason error) error {
	if errors.Is(err, reason) {
		return err
	}
	p, panicked := err.(*PanicError)
	if !panicked {
		return &endedError{err, reason}
	}
	c := *p
	c.Value = &endedError{p.Unwrap(), reason}
	return &c
}

// isMistake reports whether err is a panic that can't be the consequence of a request that
// has ended: one of the runtime, or with a value that is not an error.
func isMistake(err error) bool {
	p, panicked := err.(*PanicError)
	if !panicked {
		return false
	}
	if _, isRuntime := p.Value.(runtime.Error); isRuntime {
		return true
	}
	_, isError := p.Value.(error)
	return !isError
}
