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
		if h1, ok := w.(unlikeHTTP1); ok {
			h.ServeHTTP(struct{ unlikeHTTP1 }{h1}, r)
			return
		}
		h.ServeHTTP(struct{ unlikeHTTP2 }{w.(unlikeHTTP2)}, r)
	})
}

type unlikeHTTP1 interface {
	unlikeBoth
	io.ReaderFrom
	http.Hijacker
}

type unlikeHTTP2 interface {
	unlikeBoth
	http.Pusher
}

type unlikeBoth interface {
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
