package middleware

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/speakingtube/speakingtube/internal/httpx"
	"github.com/speakingtube/speakingtube/pipeline"
)

// BodyLimitOptions configure [BodyLimitWith]. The zero value is the behaviour of
// [BodyLimit].
type BodyLimitOptions struct {
	// Firm refuses a request whose Content-Length is above the limit immediately: no
	// component behind it runs, and no BodyLimit further down can allow more. Default: the
	// limit applies at the first read of the body, so that a branch may have a larger limit
	// of its own.
	//
	// A body without a Content-Length is found to be too large while it is read. If the
	// response has not started then, the answer is 413, whatever status the handler behind
	// it chooses, for example the 502 of an httputil.ReverseProxy.
	Firm bool
}

// BodyLimit limits the bodies of requests to limit bytes, also those without a
// Content-Length (RFC 9112, section 7.1). 0 allows no body.
//
// A handler that reads more gets an *http.MaxBytesError from the body: after limit bytes,
// or at its first read if Content-Length is above the limit. In the latter case nothing is
// read, and a client that waits with Expect: 100-continue gets no 100. If a [HandlerFunc]
// returns that error, or it is passed to [Fail] or panic, the answer is 413; if a handler
// returns without having written anything, the answer is 413 too. An answer that the
// handler writes itself is sent unchanged (see BodyLimitOptions.Firm, and
// [ProxyErrorHandler] for reverse proxies). In each case an HTTP/1 connection is closed
// after the answer, so that the rest of the body need not be read.
//
// If BodyLimits are nested, the innermost that a request reaches applies, whether it is
// smaller or larger (for example in a branch for uploads; math.MaxInt64 removes the limit).
// This holds as long as no byte was read before and no component in between has replaced
// the request's body; otherwise both limits apply. For a limit that can't be raised use
// [BodyLimitWith].
//
// CONNECT requests are not limited: over HTTP/2 their body is the stream of a WebSocket
// (RFC 8441). Reads from a hijacked connection are not limited either.
//
// limit must not be negative. It corresponds to ASP.NET Core's MaxRequestBodySize and its
// RequestSizeLimit attribute.
//
//go:noinline
func BodyLimit(limit int64) pipeline.Middleware {
	limiting := bodyLimiting("middleware.BodyLimit", limit, false)
	return func(next http.Handler) http.Handler { return limiting(next) } // is printed under this name
}

// BodyLimitWith is [BodyLimit] with options.
//
//go:noinline
func BodyLimitWith(limit int64, opts BodyLimitOptions) pipeline.Middleware {
	limiting := bodyLimiting("middleware.BodyLimitWith", limit, opts.Firm)
	return func(next http.Handler) http.Handler { return limiting(next) }
}

func bodyLimiting(component string, limit int64, firm bool) pipeline.Middleware {
	limiting := observeBelow(func(w http.ResponseWriter, r *http.Request, own *pipeline.Response, next http.Handler) {
		b := newLimitedBody(w, r, limit, firm)
		if firm && b.announced > limit {
			_, err := b.refuse()
			failBelow(w, r, own, err)
			return
		}
		inner := r.WithContext(r.Context())
		inner.Body = b
		defer httpx.CopyBack(r, inner)
		below := w
		if firm && b.announced < 0 {
			below = b.withholding(w, own)
		}
		next.ServeHTTP(below, inner)
		if err := b.exceeded(); err != nil && !own.Started() {
			failBelow(w, r, own, err)
		}
	})
	return func(next http.Handler) http.Handler {
		if limit < 0 {
			panic(&pipeline.ConfigError{Component: component, Problem: fmt.Sprintf("the limit is %d bytes: give 0 to allow no body, or leave the component out to allow every one (http.Server sets no limit)", limit)})
		}
		limited := limiting(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Body == nil || r.Body == http.NoBody || r.Method == http.MethodConnect {
				next.ServeHTTP(w, r)
				return
			}
			limited.ServeHTTP(w, r)
		})
	}
}

// limitedBody is a request's body with a limit. Like any body it is read by one goroutine
// at a time, which need not be the handler's.
type limitedBody struct {
	w         http.ResponseWriter // net/http's own writer, as far as Unwrap leads to it
	body      io.ReadCloser       // without limits of this package that may be raised
	limited   io.ReadCloser       // the body with the limit
	limit     int64
	announced int64 // the Content-Length, or -1
	firm      bool
	http1     bool

	bodyFailure

	begun atomic.Bool
	over  atomic.Bool // more than the limit was announced or read
}

func newLimitedBody(w http.ResponseWriter, r *http.Request, limit int64, firm bool) *limitedBody {
	b := &limitedBody{w: httpx.Innermost(w), body: r.Body, limit: limit, announced: r.ContentLength, firm: firm, http1: r.ProtoMajor == 1}
	for {
		above, ok := b.body.(*limitedBody)
		if !ok || above.firm || above.begun.Load() {
			break
		}
		b.body = above.body
	}
	// It asks the writer to close the connection with a method that net/http does not
	// export and that wrapped writers lack.
	b.limited = http.MaxBytesReader(b.w, b.body, limit)
	return b
}

// Read implements io.Reader.
func (b *limitedBody) Read(p []byte) (int, error) {
	b.begun.Store(true)
	if b.announced > b.limit {
		return b.refuse()
	}
	n, err := b.limited.Read(p)
	var tooLarge *http.MaxBytesError
	if err != nil && errors.As(err, &tooLarge) {
		if b.over.CompareAndSwap(false, true) {
			b.stopReading()
		}
	} else if err != nil && err != io.EOF {
		b.note(err)
	}
	return n, err
}

// refuse fails without reading, and makes net/http close the connection.
func (b *limitedBody) refuse() (int, error) {
	if b.over.CompareAndSwap(false, true) {
		httpx.CloseAfterAnswer(b.w)
		b.stopReading()
	}
	return 0, &http.MaxBytesError{Limit: b.limit}
}

// lingerTime is how long net/http may wait, after the answer to a body that is too large, for
// more of the body. A client that gets no answer before it has sent everything needs it.
const lingerTime = 500 * time.Millisecond

// stopReading sets a deadline for the reads of an HTTP/1 connection, which is closed after
// the answer. Without it net/http would wait for the rest of the body for any time.
func (b *limitedBody) stopReading() {
	if b.http1 {
		_ = http.NewResponseController(b.w).SetReadDeadline(time.Now().Add(lingerTime)) // w may be a test's
	}
}

// exceeded returns the error of a read beyond the limit, or nil.
func (b *limitedBody) exceeded() error {
	if !b.over.Load() {
		return nil
	}
	return &http.MaxBytesError{Limit: b.limit}
}

// Close implements io.Closer.
func (b *limitedBody) Close() error {
	b.closed.Store(true)
	return b.body.Close()
}
