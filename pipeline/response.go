package pipeline

import (
	"context"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Response is the life of the response to one request, from the outermost
// component that observes it. It starts when its status and headers go out, by
// whichever way (WriteHeader, Write, WriteString, ReadFrom, Flush, Hijack, or
// by the handlers returning without any of these), and is complete when that
// outermost component has returned. Informational statuses (1xx other than 101)
// do not start it.
//
// A Response belongs to the outermost component's http.ResponseWriter. A
// handler that was given another writer (by http.TimeoutHandler, or a recorder)
// still finds the outer one: what it learns then is what the client sees.
//
// All methods are safe for concurrent use. A Response is never reused, so a
// handler that writes after it has returned can't reach another request's.
//
// (One allocation holds it all: its other faces, as writer, context and bridge,
// are named types over the same memory.)
type Response struct {
	w        http.ResponseWriter // what the doors lead to: the component's own writer, or the bridge to it
	raw      http.ResponseWriter // the component's own writer
	http1    http1Methods        // w, where it is net/http's own for HTTP/1
	http2    http2Methods        // w, where it is net/http's own for HTTP/2
	parent   context.Context     // of the request outside
	extended bool                // the request is an extended CONNECT (RFC 8441)
	final101 bool                // HTTP/1, where 101 is a final status; over HTTP/2 it is informational

	status   atomic.Int32
	bytes    atomic.Int64
	upgraded atomic.Bool
	flushed  atomic.Bool
	lent     bool          // what is hijacked is an outer Response's to close
	phase    atomic.Uint32 // written under mu

	mu        sync.Mutex // guards what follows
	starting  []Starter
	completed []Completer
	hijacked  io.Closer // the connection, from Hijack to the end of the handlers
	route     string
	values    []value

	// Where the lists begin, so that short ones need no allocation of their own.
	// With these sizes the whole takes a block of 768 bytes.
	startingRoom  [6]Starter
	completedRoom [2]Completer
	valuesRoom    [3]value

	req http.Request // the request that goes on, with the response in its context
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

// value is one of the things that components tell each other.
type value struct{ key, val any }

// responseContext is a Response in its role as a node of the request's context.
type responseContext Response

type responseKey struct{}

func (c *responseContext) Deadline() (time.Time, bool) { return c.parent.Deadline() }
func (c *responseContext) Done() <-chan struct{}       { return c.parent.Done() }
func (c *responseContext) Err() error                  { return c.parent.Err() }
func (c *responseContext) Value(key any) any {
	if key == (responseKey{}) {
		return (*Response)(c)
	}
	return c.parent.Value(key)
}

// ResponseFrom returns the Response of the request, for handlers below an
// observing component. It never makes one: false means that nothing above
// observes.
func ResponseFrom(r *http.Request) (*Response, bool) {
	ctx := r.Context()
	if c, ok := ctx.(*responseContext); ok {
		return (*Response)(c), true
	}
	res, ok := ctx.Value(responseKey{}).(*Response)
	return res, ok
}

// Observe makes a component that sees the response's life. f works as in
// [Builder.UseFunc]: it calls next or does not, before or after whatever else
// it does, with w and r as it got them (or wrapped again).
//
// The first such component on a request wraps the writer, once; the others find
// its Response through the request's context. Its return, or its panic, ends
// the life: a response that has not started then starts with 200 (not after a
// panic), and the OnCompleted callbacks run.
//
// What a component *outside* the first observing one answers, after that has
// returned, is not in the Response: it has said 200 then, as net/http would have.
//
// The wrap is one allocation on net/http's own writers; the other components
// cost what they register.
//
//go:noinline
func Observe(f func(w http.ResponseWriter, r *http.Request, res *Response, next http.Handler)) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if res, ok := ResponseFrom(r); ok {
				f(w, r, res, next)
				res.handedOver()
				return
			}
			res, ow := newResponse(w, r)
			defer res.end(r)
			f(ow, res.request(r), res, next)
			res.handedOver()
			res.start(http.StatusOK) // nothing was written: net/http is going to send 200
		})
	}
}

// request returns the copy of r that knows the response.
//
//go:noinline
func (res *Response) request(r *http.Request) *http.Request {
	res.req = *r.WithContext((*responseContext)(res)) // is inlined here, and its own copy stays on the stack
	return &res.req
}

// ObserveWriter makes a component that sees what is written through its own
// writer. Where Observe's Response is the one of the outermost component, this
// one is never shared and found by nobody else: its Started says whether
// something below has written to w, be it into a buffer that a component above
// has put there. It costs a wrap of the writer for each such component.
func ObserveWriter(f func(w http.ResponseWriter, r *http.Request, own *Response, next http.Handler)) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			own, ow := newResponse(w, r)
			outer, observed := ResponseFrom(r)
			own.lent = observed
			defer own.complete()
			f(ow, r, own, next)
			own.handedOver()
			if observed {
				outer.handedOver()
			}
		})
	}
}

// newResponse observes w for r. It returns the writer to use in its place: by
// hand for the two writers of net/http, by httpsnoop for all others.
func newResponse(w http.ResponseWriter, r *http.Request) (*Response, http.ResponseWriter) {
	res := &Response{
		w:        w,
		raw:      w,
		parent:   r.Context(),
		extended: r.Method == http.MethodConnect && r.ProtoMajor >= 2 && r.Header.Get(":protocol") != "",
		final101: r.ProtoMajor < 2,
	}
	res.starting, res.completed, res.values = res.startingRoom[:0], res.completedRoom[:0], res.valuesRoom[:0]
	if fast := res.fast(); fast != nil {
		return res, fast
	}
	return res, res.hook()
}

// OnStarting registers f to run just before the status and headers go out,
// once. The callback registered last runs first. It may change the headers that
// it is given; it must not write to the body. It returns [ErrResponseStarted]
// if it is too late.
//
// If a callback panics, the ones registered before it don't run, the response
// has not started, and the panic goes on through whoever was writing.
// Callbacks don't run for a request whose handlers panicked, unless somebody
// answers it.
//
// It mirrors ASP.NET Core's HttpResponse.OnStarting.
func (res *Response) OnStarting(f func(h http.Header, status int)) error {
	if f == nil {
		panic("pipeline: OnStarting of nil")
	}
	return res.NotifyStarting(startFunc(f))
}

// NotifyStarting is OnStarting for a value with a method: a component that keeps
// its state in one needs no closure beside it.
func (res *Response) NotifyStarting(s Starter) error {
	res.mu.Lock()
	defer res.mu.Unlock()
	if res.phase.Load() != phaseOpen {
		return ErrResponseStarted
	}
	if len(res.starting) == len(res.startingRoom) {
		res.starting = slices.Grow(res.starting, 4*len(res.startingRoom)) // once, not again and again
	}
	res.starting = append(res.starting, s)
	return nil
}

// OnCompleted registers f to run after the handlers have returned, or panicked.
// The callback registered last runs first; if one panics, that is logged and
// the others still run. It may be registered after the response has started.
// It returns [ErrResponseCompleted] if it is too late.
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

// Started reports whether status and headers have gone out, so that neither can
// be changed any more.
func (res *Response) Started() bool {
	return res.status.Load() != 0
}

// Status returns the status that was sent, or 0 if the response has not started.
func (res *Response) Status() int { return int(res.status.Load()) }

// BytesWritten returns how many bytes of body the handlers have written. What
// is written to a hijacked connection is not counted, nor compression by a
// component outside.
func (res *Response) BytesWritten() int64 { return res.bytes.Load() }

// Upgraded reports whether the connection was handed over to another protocol:
// by 101 or Hijack over HTTP/1.1, or by a 2xx answer to an extended CONNECT
// over HTTP/2 (RFC 8441).
func (res *Response) Upgraded() bool { return res.upgraded.Load() }

// Flushed reports whether a handler has flushed what it wrote so far: it streams,
// or wants the headers to go out early.
func (res *Response) Flushed() bool { return res.flushed.Load() }

// SetRoute says which route the request took, for the components around to read
// with Route: the pattern of the endpoint, say, behind the prefixes of the
// branches that led to it. The last one to say it counts.
func (res *Response) SetRoute(pattern string) {
	res.mu.Lock()
	defer res.mu.Unlock()
	res.route = pattern
}

// Route returns the route that the request took, as a component below has said
// with SetRoute, or "".
func (res *Response) Route() string {
	res.mu.Lock()
	defer res.mu.Unlock()
	return res.route
}

// SetValue keeps val under key for the life of the response. Unlike a value in
// the request's context it is also seen by the components above, which a log
// needs that reports what a component below has found out. As with
// context.WithValue the key should be of a type of the caller's own.
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

// Value returns what was kept under key with SetValue, or nil.
func (res *Response) Value(key any) any {
	res.mu.Lock()
	defer res.mu.Unlock()
	for i := range res.values {
		if v := &res.values[i]; v.key == key {
			return v.val
		}
	}
	return nil
}
