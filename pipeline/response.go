package pipeline

import (
	"context"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

// Response is the life of the response to one request, as the outermost observing component
// sees it. It starts when its status and headers are sent (through WriteHeader, Write,
// WriteString, ReadFrom, Flush or Hijack, or because the handlers return without any of
// these), and is complete when that outermost component has returned. Informational
// statuses (1xx except 101) do not start it.
//
// A Response belongs to the outermost component's http.ResponseWriter. A handler that was
// given another writer (by http.TimeoutHandler, or a recorder) still finds the outer
// Response, which describes the response that the client gets.
//
// All methods are safe for concurrent use. A Response is never reused, so a handler that
// writes after it has returned can't reach another request's.
type Response struct {
	w        http.ResponseWriter // target of all writes: the component's own writer, or the bridge to it
	raw      http.ResponseWriter // the component's own writer
	http1    http1Methods        // w, if it is net/http's own writer for HTTP/1
	http2    http2Methods        // w, if it is net/http's own writer for HTTP/2
	parent   context.Context     // of the request outside
	extended bool                // the request is an extended CONNECT (RFC 8441)
	final101 bool                // HTTP/1, where 101 is a final status; over HTTP/2 it is informational

	status       atomic.Int32
	bytes        atomic.Int64
	body         *pacedBody // the request's body, if MinBodyRate applies
	upgraded     atomic.Bool
	flushed      atomic.Bool
	ownedByOuter bool          // an outer Response closes the hijacked connection
	abandoned    bool          // the client had left when a 5xx started; guarded by mu
	taken        bool          // a handler has hijacked the connection; guarded by mu
	routed       bool          // route is from SetRoute, not the label of a branch; guarded by mu
	phase        atomic.Uint32 // written under mu

	mu        sync.Mutex // guards the fields below
	starting  []Starter
	completed []Completer
	hijacked  io.Closer // the connection, from Hijack to the end of the handlers
	route     string
	values    []value

	// Initial memory of the lists, so that short ones need no further allocation. With
	// these sizes a Response takes a block of 768 bytes.
	startingBuf  [6]Starter
	completedBuf [2]Completer
	valuesBuf    [3]value

	req http.Request // the request for the next handler, with the response in its context
}

// Starter is a callback for the start of a response, see [Response.OnStarting].
type Starter interface {
	Starting(h http.Header, status int)
}

// Completer is a callback for the end of a response, see [Response.OnCompleted].
type Completer interface {
	Completed()
}

type startFunc func(h http.Header, status int)

func (f startFunc) Starting(h http.Header, status int) { f(h, status) }

type completeFunc func()

func (f completeFunc) Completed() { f() }

// value is one entry of Response.SetValue.
type value struct{ key, val any }

// responseContext is a Response in its role as a node of the request's context.
type responseContext Response

type responseKey struct{}

func (c *responseContext) Deadline() (time.Time, bool) { return c.parent.Deadline() }
func (c *responseContext) Done() <-chan struct{}       { return c.parent.Done() }
func (c *responseContext) Err() error                  { return c.parent.Err() }
func (c *responseContext) Value(key any) any {
	switch key {
	case responseKey{}:
		return (*Response)(c)
	case httpx.OuterContextKey{}:
		return c.parent
	}
	return c.parent.Value(key)
}

// ResponseFrom returns the Response of the request with this context, for handlers below an
// observing component and for what they call. It never creates one: false means that no
// component above observes.
func ResponseFrom(ctx context.Context) (*Response, bool) {
	if c, ok := ctx.(*responseContext); ok {
		return (*Response)(c), true
	}
	res, ok := ctx.Value(responseKey{}).(*Response)
	return res, ok
}

// Observe makes a component that observes the response's life. f works as in
// [Builder.UseFunc]: it may call next or not, with w and r as it got them (or wrapped
// again).
//
// The first observing component of a request wraps the writer, once; the others find its
// Response through the request's context. Its return or panic completes the response: a
// response that has not started then starts with 200 (not after a panic), and the
// OnCompleted callbacks run.
//
// If a component outside the first observing one answers after that has returned, the
// answer is not in the Response: the Response has started with 200 then, as net/http would
// have.
//
// On net/http's own writers the first observing component costs one allocation; the others
// cost only their registrations.
//
//go:noinline
func Observe(f func(w http.ResponseWriter, r *http.Request, res *Response, next http.Handler)) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if res, ok := ResponseFrom(r.Context()); ok {
				f(w, r, res, next)
				res.handedOver()
				return
			}
			res, ow := newResponse(w, r)
			defer res.end(r)
			f(ow, res.request(r), res, next)
			res.handedOver()
			res.start(http.StatusOK) // nothing was written: net/http will send 200
		})
	}
}

// request returns the copy of r that has the response in its context.
//
//go:noinline
func (res *Response) request(r *http.Request) *http.Request {
	res.req = *r.WithContext((*responseContext)(res)) // inlined here, and its own copy stays on the stack
	return &res.req
}

// ObserveWriter makes a component that observes its own writer. While Observe's Response
// belongs to the outermost component, this one is never shared and ResponseFrom does not
// find it: its Started reports whether anything below has written to w, even if a component
// above buffers the output. Each such component wraps the writer once.
func ObserveWriter(f func(w http.ResponseWriter, r *http.Request, own *Response, next http.Handler)) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			own, ow := newResponse(w, r)
			outer, observed := ResponseFrom(r.Context())
			own.ownedByOuter = observed
			defer own.complete()
			f(ow, r, own, next)
			own.handedOver()
			if observed {
				outer.handedOver()
			}
		})
	}
}

// newResponse observes w for r. It returns the writer to use instead: a hand-written wrap
// for the two writers of net/http, one by httpsnoop for all others.
func newResponse(w http.ResponseWriter, r *http.Request) (*Response, http.ResponseWriter) {
	res := &Response{
		w:        w,
		raw:      w,
		parent:   r.Context(),
		extended: r.Method == http.MethodConnect && r.ProtoMajor >= 2 && r.Header.Get(":protocol") != "",
		final101: r.ProtoMajor < 2,
	}
	res.starting, res.completed, res.values = res.startingBuf[:0], res.completedBuf[:0], res.valuesBuf[:0]
	if fast := res.fast(); fast != nil {
		return res, fast
	}
	return res, res.hook()
}

// OnStarting registers f to run once, just before the status and headers are sent. The
// callback registered last runs first; one that is registered while the callbacks run is
// run next. It may change the headers that it is given; it must not write to the body.
// OnStarting returns [ErrResponseStarted] if it is too late.
//
// If a callback panics, the ones registered before it don't run, the response has not
// started, and the panic continues through the caller that was writing. If the handlers
// panic, callbacks don't run unless a component answers the request.
//
// It corresponds to ASP.NET Core's HttpResponse.OnStarting.
func (res *Response) OnStarting(f func(h http.Header, status int)) error {
	if f == nil {
		panic("pipeline: OnStarting of nil")
	}
	return res.NotifyStarting(startFunc(f))
}

// NotifyStarting is OnStarting for a value with a method, which saves the closure of a
// component that has such a value.
func (res *Response) NotifyStarting(s Starter) error {
	res.mu.Lock()
	defer res.mu.Unlock()
	if phase := res.phase.Load(); phase != phaseOpen && phase != phaseFiring {
		return ErrResponseStarted
	}
	if len(res.starting) == len(res.startingBuf) {
		res.starting = slices.Grow(res.starting, 4*len(res.startingBuf)) // once instead of repeatedly
	}
	res.starting = append(res.starting, s)
	return nil
}

// OnCompleted registers f to run after the handlers have returned or panicked. The callback
// registered last runs first; if one panics, that is logged and the others still run. It
// may be called after the response has started. It returns [ErrResponseCompleted] if it is
// too late.
func (res *Response) OnCompleted(f func()) error {
	if f == nil {
		panic("pipeline: OnCompleted of nil")
	}
	return res.NotifyCompleted(completeFunc(f))
}

// NotifyCompleted is OnCompleted for a value with a method.
func (res *Response) NotifyCompleted(c Completer) error {
	res.mu.Lock()
	defer res.mu.Unlock()
	if res.phase.Load() == phaseCompleted {
		return ErrResponseCompleted
	}
	res.completed = append(res.completed, c)
	return nil
}

// Started reports whether the status and headers have been sent and can't be changed any
// more.
func (res *Response) Started() bool {
	return res.status.Load() != 0
}

// Status returns the status that was sent, or 0 if the response has not started.
func (res *Response) Status() int { return int(res.status.Load()) }

// BytesWritten returns the number of body bytes that the handlers have written. It excludes
// writes to a hijacked connection, and is not affected by compression in a component
// outside.
func (res *Response) BytesWritten() int64 { return res.bytes.Load() }

// Upgraded reports whether the connection was handed over to another protocol: with 101 or
// Hijack over HTTP/1.1, or with a 2xx answer to an extended CONNECT over HTTP/2 (RFC 8441).
func (res *Response) Upgraded() bool { return res.upgraded.Load() }

// Flushed reports whether a handler has flushed its output, to stream or to send the
// headers early.
func (res *Response) Flushed() bool { return res.flushed.Load() }

// SetValue stores val under key for the life of the response. Unlike a value in the
// request's context, the components above see it too, for example a log that reports a
// result of a component below. As with context.WithValue the key should have a type of the
// caller's own.
func (res *Response) SetValue(key, val any) {
	res.mu.Lock()
	defer res.mu.Unlock()
	for i := range res.values {
		if v := &res.values[i]; v.key == key {
			v.val = val
			return
		}
	}
	res.values = append(res.values, value{key, val})
}

// Value returns the value stored under key with SetValue, or nil.
func (res *Response) Value(key any) any {
	if key == (httpx.BodyTooSlowKey{}) {
		return res.body != nil && res.body.wasTooSlow()
	}
	res.mu.Lock()
	defer res.mu.Unlock()
	if key == (httpx.AbandonedKey{}) {
		return res.abandoned
	}
	for i := range res.values {
		if v := &res.values[i]; v.key == key {
			return v.val
		}
	}
	return nil
}
