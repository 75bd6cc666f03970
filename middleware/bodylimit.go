package middleware

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/speakingtube/speakingtube/internal/httpx"
	"github.com/speakingtube/speakingtube/pipeline"
)

// BodyLimitOptions configure [BodyLimitWith]. The zero value is what [BodyLimit]
// does.
type BodyLimitOptions struct {
	// Firm refuses a request whose Content-Length is above the limit at once:
	// nothing behind it runs. And no BodyLimit further down can allow more.
	// Default: the body is judged when it is first read, so that a branch may
	// have a larger limit of its own.
	Firm bool
}

// BodyLimit limits the bodies of requests to limit bytes, also those whose length
// nobody has announced (RFC 9112, section 7.1). 0 allows no body at all.
//
// A handler that reads more gets an *http.MaxBytesError from the body, after limit
// bytes, or at its first read where Content-Length is above the limit: then
// nothing is read, and a client that waits with Expect: 100-continue is not told
// to go on. Returned from a [HandlerFunc], given to [Fail] or panicked with, that
// error is a 413; and a handler that returns without having written anything has a
// 413 written for it. What it writes by itself is sent as it is. In each case an
// HTTP/1 connection is closed after the answer, so that the rest of the body
// never has to be read.
//
// Where BodyLimits are nested, the innermost that a request reaches counts, be it
// smaller or larger (a branch for uploads, say; math.MaxInt64 lifts the limit), as
// long as nothing was read before, and no component in between has put a body of
// its own around the request's: both limits hold then. [BodyLimitWith] has a
// limit that is firm.
//
// CONNECT requests pass: over HTTP/2 their body is the stream of a WebSocket (RFC
// 8441). What is read from a hijacked connection is no body either.
//
// limit must not be negative. It mirrors ASP.NET Core's MaxRequestBodySize and its
// RequestSizeLimit attribute.
//
//go:noinline
func BodyLimit(limit int64) pipeline.Middleware {
	limiting := bodyLimiting("middleware.BodyLimit", limit, false)
	return func(next http.Handler) http.Handler { return limiting(next) } // prints under this name
}

// BodyLimitWith is [BodyLimit] with options.
//
//go:noinline
func BodyLimitWith(limit int64, opts BodyLimitOptions) pipeline.Middleware {
	limiting := bodyLimiting("middleware.BodyLimitWith", limit, opts.Firm)
	return func(next http.Handler) http.Handler { return limiting(next) }
}

func bodyLimiting(component string, limit int64, firm bool) pipeline.Middleware {
	limiting := observeOwn(func(w http.ResponseWriter, r *http.Request, own *pipeline.Response, next http.Handler) {
		b := newLimitedBody(w, r, limit, firm)
		if firm && b.announced > limit {
			_, err := b.refuse()
			failOwn(w, r, own, err)
			return
		}
		inner := r.WithContext(r.Context())
		inner.Body = b
		defer handBack(r, inner)
		next.ServeHTTP(w, inner)
		if err := b.exceeded(); err != nil && !own.Started() {
			failOwn(w, r, own, err)
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

// limitedBody is a request's body with a limit. Like any body it is read by one
// goroutine at a time, which need not be the handler's.
type limitedBody struct {
	w         http.ResponseWriter // net/http's own, as far as it can be reached
	body      io.ReadCloser       // without limits of ours that may be raised
	limited   io.ReadCloser       // what is read
	limit     int64
	announced int64 // the Content-Length, or -1
	firm      bool

	begun atomic.Bool
	over  atomic.Bool // too much was announced or read
}

func newLimitedBody(w http.ResponseWriter, r *http.Request, limit int64, firm bool) *limitedBody {
	b := &limitedBody{w: httpx.Innermost(w), body: r.Body, limit: limit, announced: r.ContentLength, firm: firm}
	for {
		above, ok := b.body.(*limitedBody)
		if !ok || above.firm || above.begun.Load() {
			break
		}
		b.body = above.body
	}
	// It asks the writer to close the connection by a method that net/http does
	// not export: a wrapped writer does not have it.
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
		b.over.Store(true)
	}
	return n, err
}

// refuse fails without reading, and has the connection closed: a reader that has
// more than its limit brings net/http to that, and this one has.
func (b *limitedBody) refuse() (int, error) {
	if b.over.CompareAndSwap(false, true) {
		var one [1]byte
		_, _ = http.MaxBytesReader(b.w, io.NopCloser(strings.NewReader("x")), 0).Read(one[:]) // fails, as it is to
	}
	return 0, &http.MaxBytesError{Limit: b.limit}
}

// exceeded returns the error that the reader got, if it did.
func (b *limitedBody) exceeded() error {
	if !b.over.Load() {
		return nil
	}
	return &http.MaxBytesError{Limit: b.limit}
}

// Close implements io.Closer.
func (b *limitedBody) Close() error { return b.body.Close() }
