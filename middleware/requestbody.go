package middleware

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
)

// requestBody is a request's body that remembers how it failed. An error of the body is the
// client's: net/http has no other errors for it, but does not export most of them, and the
// same errors of an upstream server's body are not the client's.
type requestBody struct {
	io.ReadCloser
	bodyFailure
}

// watchedBody is a body that remembers how it failed: a *requestBody or a *limitedBody.
type watchedBody interface {
	io.ReadCloser
	failure() error
}

// watchBody returns r's body if it is watched already, and otherwise a body to use instead.
// It returns nil if r has no body, or one that is the stream of another protocol.
func watchBody(r *http.Request) watchedBody {
	if r.Body == nil || r.Body == http.NoBody || r.Method == http.MethodConnect {
		return nil
	}
	if b, ok := r.Body.(watchedBody); ok {
		return b
	}
	return &requestBody{ReadCloser: r.Body}
}

// Read implements io.Reader.
func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.note(err)
	}
	return n, err
}

// Close implements io.Closer.
func (b *requestBody) Close() error {
	b.closed.Store(true)
	return b.ReadCloser.Close()
}

// bodyFailure is the first error of a body. Bodies may be read by other goroutines than the
// handler's.
type bodyFailure struct {
	first  atomic.Pointer[error]
	closed atomic.Bool
}

// note remembers err, unless it is the handler's: a read after Close, or beyond a limit.
func (b *bodyFailure) note(err error) {
	var tooLarge *http.MaxBytesError
	if b.closed.Load() || errors.As(err, &tooLarge) {
		return
	}
	b.first.CompareAndSwap(nil, &err)
}

func (b *bodyFailure) failure() error {
	if err := b.first.Load(); err != nil {
		return *err
	}
	return nil
}

// causedBy reports whether err is a consequence of a failed body. Some libraries pass only
// the text of the body's error on.
func causedBy(err, body error) bool {
	return errors.Is(err, body) || strings.Contains(err.Error(), body.Error())
}

// bodyStatus is the status of the answer to a request whose body failed with err: 499 if
// the client left, 408 if a read deadline passed, and 400 if the body is malformed.
func bodyStatus(err error) int {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return http.StatusRequestTimeout
	case isConnectionError(err):
		return statusClientGone
	}
	return http.StatusBadRequest
}

// isConnectionError reports whether err is an error of a connection or stream that has
// ended.
func isConnectionError(err error) bool {
	for _, target := range []error{io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, target) {
			return true
		}
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Op == "read" || op.Op == "write"
	}
	var stream http2StreamError
	if errors.As(err, &stream) {
		return true
	}
	for ; err != nil; err = errors.Unwrap(err) {
		switch err.Error() { // values that net/http does not export
		case "client disconnected", "http2: stream closed":
			return true
		}
	}
	return false
}

// http2StreamError has the fields of net/http's error for a stream that was reset. That
// error can be converted to any type with these fields.
type http2StreamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (http2StreamError) Error() string { return "HTTP/2 stream error" }
