package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
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
type Response struct {
	parent   context.Context // of the request outside
	extended bool            // the request is an extended CONNECT (RFC 8441)
	http1    bool            // where 101 is a final status; over HTTP/2 it is informational

	status   atomic.Int32
	bytes    atomic.Int64
	upgraded atomic.Bool
	flushed  atomic.Bool
	phase    atomic.Uint32 // written under mu

	mu        sync.Mutex // guards what follows
	starting  []func(h http.Header, status int)
	completed []func()
	hijacked  io.Closer // the connection, from Hijack to the end of the handlers
	route     string
	values    []value
}

// value is one of the things that components tell each other.
type value struct{ key, val any }

// The phases of a Response. It goes back from firing to open where a callback
// panicked or a hijack failed: nothing has been sent then.
const (
	phaseOpen uint32 = iota
	phaseFiring
	phaseStarted
	phaseCompleted
)

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
func Observe(f func(w http.ResponseWriter, r *http.Request, res *Response, next http.Handler)) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if res, ok := ResponseFrom(r); ok {
				f(w, r, res, next)
				res.handedOver()
				return
			}
			res := newResponse(r)
			ow := observe(w, res)
			defer res.complete()
			inner := r.WithContext((*responseContext)(res))
			f(ow, inner, res, next)
			res.handedOver()
			res.start(w.Header, http.StatusOK) // nothing was written: net/http is going to send 200
			if form := inner.MultipartForm; form != nil && form != r.MultipartForm {
				_ = form.RemoveAll() // net/http does it for its own request only
			}
		})
	}
}

// ObserveWriter makes a component that sees what is written through its own
// writer. Where Observe's Response is the one of the outermost component, this
// one is never shared and found by nobody else: its Started says whether
// something below has written to w, be it into a buffer that a component above
// has put there. It costs a wrap of the writer for each such component.
func ObserveWriter(f func(w http.ResponseWriter, r *http.Request, own *Response, next http.Handler)) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			own := newResponse(r)
			defer own.complete()
			f(observe(w, own), r, own, next)
			own.handedOver()
		})
	}
}

func newResponse(r *http.Request) *Response {
	return &Response{
		parent:   r.Context(),
		extended: r.Method == http.MethodConnect && r.ProtoMajor >= 2 && r.Header.Get(":protocol") != "",
		http1:    r.ProtoMajor < 2,
	}
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
func (res *Response) OnStarting(f func(h http.Header, status int)) error {
	if f == nil {
		panic("pipeline: OnStarting of nil")
	}
	res.mu.Lock()
	defer res.mu.Unlock()
	if res.phase.Load() != phaseOpen {
		return ErrResponseStarted
	}
	res.starting = append(res.starting, f)
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
	res.mu.Lock()
	defer res.mu.Unlock()
	if res.phase.Load() == phaseCompleted {
		return ErrResponseCompleted
	}
	res.completed = append(res.completed, f)
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
		if res.values[i].key == key {
			res.values[i].val = val
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
		if res.values[i].key == key {
			return res.values[i].val
		}
	}
	return nil
}

// start runs the OnStarting callbacks, the last one first, if nobody has. The
// caller sends the headers when it returns. It leaves the response open if a
// callback panics.
func (res *Response) start(header func() http.Header, status int) {
	if res.phase.Load() != phaseOpen {
		return // has started; or a callback writes: let it through
	}
	res.mu.Lock()
	if res.phase.Load() != phaseOpen {
		res.mu.Unlock()
		return
	}
	callbacks := res.starting
	res.starting = nil
	res.phase.Store(phaseFiring)
	res.mu.Unlock()

	done := false
	defer func() {
		res.mu.Lock()
		defer res.mu.Unlock()
		if res.phase.Load() != phaseFiring {
			return // completed meanwhile: this start came from a goroutine left behind
		}
		if done {
			res.phase.Store(phaseStarted)
			res.status.Store(int32(status))
			if status == http.StatusSwitchingProtocols || res.extended && status < 300 {
				res.upgraded.Store(true)
			}
		} else {
			res.phase.Store(phaseOpen)
		}
	}()
	for i := len(callbacks) - 1; i >= 0; i-- {
		callbacks[i](header(), status)
	}
	done = true
}

// reopen takes back a start that sent nothing.
func (res *Response) reopen() {
	res.mu.Lock()
	defer res.mu.Unlock()
	if res.phase.Load() == phaseStarted {
		res.phase.Store(phaseOpen)
		res.status.Store(0)
		res.upgraded.Store(false)
	}
}

// handedOver is called when handlers have returned in order: a connection that
// they hijacked is somebody else's now, and no later panic's to close.
func (res *Response) handedOver() {
	res.mu.Lock()
	defer res.mu.Unlock()
	res.hijacked = nil
}

// complete ends the life and runs the OnCompleted callbacks.
func (res *Response) complete() {
	res.mu.Lock()
	callbacks := res.completed
	res.completed = nil
	res.starting = nil
	hijacked := res.hijacked
	res.hijacked = nil
	res.phase.Store(phaseCompleted)
	res.mu.Unlock()

	if hijacked != nil {
		// The handlers panicked with the connection in their hands; net/http
		// would leave it open for ever.
		_ = hijacked.Close()
	}
	for i := len(callbacks) - 1; i >= 0; i-- {
		runCompleted(callbacks[i])
	}
}

func runCompleted(f func()) {
	defer func() {
		if v := recover(); v != nil {
			err, ok := v.(error)
			if !ok {
				err = fmt.Errorf("%v", v)
			}
			if errors.Is(err, http.ErrAbortHandler) {
				return
			}
			slog.Error("an OnCompleted callback panicked", "err", err, "stack", string(debug.Stack()))
		}
	}()
	f()
}
