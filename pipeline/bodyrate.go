package pipeline

import (
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

// BodyRate is the minimum rate at which a client has to send the body of a request. The zero
// value of a field is its default, which is that of ASP.NET Core's server.
type BodyRate struct {
	BytesPerSecond int           // 240 by default
	Grace          time.Duration // for which a client may send less, and nothing at first; 5 s by default
}

const (
	defaultBytesPerSecond = 240
	defaultGrace          = 5 * time.Second
)

// ErrBodyTooSlow is the error of a Read from a body whose client sends it more slowly than
// [MinBodyRate] allows. It wraps os.ErrDeadlineExceeded.
var ErrBodyTooSlow error = bodyTooSlow{}

type bodyTooSlow struct{}

func (bodyTooSlow) Error() string { return "pipeline: the client sends the body too slowly" }
func (bodyTooSlow) Unwrap() error { return os.ErrDeadlineExceeded }

// MinBodyRate ends requests whose body comes too slowly, and connections whose body does not
// come after the answer. [Serve] uses it, with its defaults, in front of the server's handler:
// add it to a pipeline for another server, or to a branch for another rate. If several are
// nested, the innermost that a request reaches applies.
//
// A client that sends less than the rate uses up its grace, and earns more by sending faster,
// up to twice of it. Only the time for which a Read waits for the client counts. Then the Read
// fails with [ErrBodyTooSlow]; if the handler does not answer by itself, the answer is 408.
//
// An answer is not held back by a body that the handler has not read: net/http would read up to
// 256 KiB of it first, however slowly it comes. Here it waits for half a second. If the body
// is not complete then, the answer goes out and says Connection: close, the rest may come within
// the grace, and the connection is closed.
//
// The rate does not apply to connections that were hijacked, to CONNECT, to full duplex (see
// http.ResponseController.EnableFullDuplex), after the handler has flushed its answer, and
// after [DisableMinBodyRate]. Over HTTP/2 a request that is ended does not end the connection.
//
// It sets read deadlines only when a client is too slow, and after the answer.
//
//go:noinline
func MinBodyRate(rate BodyRate) Middleware {
	observed := Observe(func(w http.ResponseWriter, r *http.Request, res *Response, next http.Handler) {
		if res.body != nil { // of a MinBodyRate above
			res.body.setRate(rate)
			next.ServeHTTP(w, r)
			return
		}
		b := newPacedBody(res, r, rate)
		res.body = b
		inner := r
		if r != &res.req { // another component's
			inner = r.WithContext(r.Context())
			defer httpx.CopyBack(r, inner)
		}
		inner.Body = b
		defer b.stop()
		next.ServeHTTP(w, inner)
		b.end(w)
	})
	return func(next http.Handler) http.Handler {
		if rate.BytesPerSecond < 0 || rate.Grace < 0 {
			panic(&ConfigError{Component: "pipeline.MinBodyRate", Problem: fmt.Sprintf("%d bytes a second with %v of grace: give 0 for the default, and use DisableMinBodyRate to turn it off", rate.BytesPerSecond, rate.Grace)})
		}
		limited := observed(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Body == nil || r.Body == http.NoBody || r.Method == http.MethodConnect {
				next.ServeHTTP(w, r)
				return
			}
			limited.ServeHTTP(w, r)
		})
	}
}

// DisableMinBodyRate turns [MinBodyRate] off for the rest of the request, for handlers that
// wait for their client as long as it takes. It is safe for concurrent use.
func DisableMinBodyRate(r *http.Request) {
	if res, ok := ResponseFrom(r.Context()); ok && res.body != nil {
		res.body.off.Store(true)
	}
}

// withDefaults returns the rate with the defaults of its zero fields.
func (rate BodyRate) withDefaults() BodyRate {
	if rate.BytesPerSecond == 0 {
		rate.BytesPerSecond = defaultBytesPerSecond
	}
	if rate.Grace == 0 {
		rate.Grace = defaultGrace
	}
	return rate
}
