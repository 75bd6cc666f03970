package middleware

import (
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
	// Header is the response header that carries the id. Default: X-Request-Id.
	Header string

	// Incoming takes the id from the request header of the same name where it
	// has one that is 1 to 128 letters, digits and any of "-_.:+/=@". Only for
	// services that stand behind something that sets or checks it: otherwise
	// clients choose what the log says, and may repeat another request's id.
	Incoming bool
}

// RequestID gives each request an id: 128 random bits as 32 hexadecimal digits, so
// that no two are alike on any number of machines. It is a name, not a secret, and
// no proof of anything. The client reads it in the response
// header, the handlers get it from [RequestIDFrom], and [AccessLog] logs it,
// wherever it stands. Of several RequestIDs on a request's way the first counts.
//
// The id is on the response from the start, so also on errors that Recover
// answers and on upgrades.
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

// RequestIDFrom returns the id that [RequestID] gave to the request, or "" where
// there is none.
func RequestIDFrom(r *http.Request) string {
	res, ok := pipeline.ResponseFrom(r)
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

// requestID is the state of one request; the header's value lives in it.
type requestID struct {
	key   string
	value [1]string
}

// Starting puts the id back where a handler cleared the headers, as
// httputil.ReverseProxy does after each 1xx.
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

// isRequestID accepts what can stand in a log line and a header as it is.
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
