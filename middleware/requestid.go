package middleware

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"

	"github.com/speakingtube/speakingtube/internal/httpx"
	"github.com/speakingtube/speakingtube/pipeline"
)

// RequestIDOptions configure [RequestID].
type RequestIDOptions struct {
	// Header is the response header for the id. Default: X-Request-Id.
	Header string

	// Incoming uses the id from the request header of the same name if it consists of 1 to
	// 128 letters, digits and any of "-_.:+/=@". Use it only behind a proxy that sets or
	// checks the header: otherwise clients control a part of the log, and may reuse another
	// request's id.
	Incoming bool
}

// RequestID gives each request an id: 128 random bits as 32 hexadecimal digits, unique
// across any number of machines. It is an identifier, not a secret, and does not prove
// anything. The client gets it in the response header, the handlers from [RequestIDFrom],
// and [AccessLog] logs it, wherever RequestID is in the pipeline. If a request passes
// several RequestIDs, the first one applies.
//
// The id is in every response, also in errors that Recover answers and in upgrades.
//
//go:noinline
func RequestID(opts RequestIDOptions) pipeline.Middleware {
	header := opts.Header
	if header == "" {
		header = "X-Request-Id"
	}
	key := http.CanonicalHeaderKey(header)
	observed := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		if res.Value(requestIDKey{}) == nil {
			id := &requestID{}
			if in := r.Header[key]; opts.Incoming && len(in) == 1 && isRequestID(in[0]) {
				id.value[0] = in[0]
			} else {
				id.value[0] = newRequestID()
			}
			w.Header()[key] = id.value[:]
			id.key = key
			_ = res.NotifyStarting(id)
			res.SetValue(requestIDKey{}, id)
		}
		next.ServeHTTP(w, r)
	})
	return func(next http.Handler) http.Handler {
		if !httpx.IsToken(header) {
			panic(&pipeline.ConfigError{Component: "middleware.RequestID", Problem: fmt.Sprintf("Header is %q: use the name of a header, letters, digits and dashes", opts.Header)})
		}
		return observed(next)
	}
}

// RequestIDFrom returns the id that [RequestID] gave to the request with this context, or ""
// without one. [LogHandler] adds it to log records.
func RequestIDFrom(ctx context.Context) string {
	res, ok := pipeline.ResponseFrom(ctx)
	if !ok {
		return ""
	}
	return requestIDOf(res)
}

func requestIDOf(res *pipeline.Response) string {
	if id, ok := res.Value(requestIDKey{}).(*requestID); ok {
		return id.value[0]
	}
	return ""
}

type requestIDKey struct{}

// requestID is the state of one request; it also holds the header's value, which saves an
// allocation.
type requestID struct {
	key   string
	value [1]string
}

// Starting sets the id again if a handler has cleared the headers, as httputil.ReverseProxy
// does after each 1xx.
func (id *requestID) Starting(h http.Header, _ int) {
	if _, ok := h[id.key]; !ok {
		h[id.key] = id.value[:]
	}
}

func newRequestID() string {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], rand.Uint64())
	binary.LittleEndian.PutUint64(b[8:], rand.Uint64())
	var text [2 * len(b)]byte
	hex.Encode(text[:], b[:])
	return string(text[:])
}

// isRequestID accepts ids that are safe in a log line and in a header.
func isRequestID(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case httpx.IsAlphanumeric(c):
		case c == '-', c == '_', c == '.', c == ':', c == '+', c == '/', c == '=', c == '@':
		default:
			return false
		}
	}
	return true
}
