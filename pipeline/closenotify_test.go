package pipeline_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// withoutCloseNotify returns h; in a test with httpsnoop=true in its name, h gets writers
// that lack one of the methods of net/http's own, CloseNotify. Such writers are not wrapped
// by hand.
func withoutCloseNotify(t *testing.T, h http.Handler) http.Handler {
	if !strings.Contains(t.Name(), "httpsnoop=true") {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h1, ok := w.(http1WithoutCloseNotify); ok {
			h.ServeHTTP(struct{ http1WithoutCloseNotify }{h1}, r)
			return
		}
		h.ServeHTTP(struct{ http2WithoutCloseNotify }{w.(http2WithoutCloseNotify)}, r)
	})
}

type http1WithoutCloseNotify interface {
	commonWithoutCloseNotify
	io.ReaderFrom
	http.Hijacker
}

type http2WithoutCloseNotify interface {
	commonWithoutCloseNotify
	http.Pusher
}

type commonWithoutCloseNotify interface {
	http.ResponseWriter
	io.StringWriter
	http.Flusher
	FlushError() error
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	EnableFullDuplex() error
}

// reset is an additional method of the writers of package pipelinetest.
type reset interface{ Reset() }
