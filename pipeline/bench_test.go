package pipeline_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/pipeline/pipelinetest"
)

var hello = []byte("hello")

var bare = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(hello) })

// passThrough is a component that only calls its next handler.
func passThrough(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, r) })
}

// tenPassThrough is a pipeline of ten of them; tenNested is the same nested by hand.
func tenPassThrough() http.Handler {
	b := pipeline.New()
	for range 10 {
		b.Use(passThrough)
	}
	return b.Run(bare).MustBuild()
}

func tenNested() (h http.Handler) {
	h = bare
	for range 10 {
		next := h
		h = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, r) })
	}
	return h
}

func benchmark(b *testing.B, h http.Handler, w interface {
	http.ResponseWriter
	Reset()
}) {
	r := httptest.NewRequest(http.MethodGet, "/items/7", nil)
	b.ReportAllocs()
	for b.Loop() {
		w.Reset()
		h.ServeHTTP(w, r)
	}
}

func BenchmarkPassThrough(b *testing.B) {
	b.Run("bare", func(b *testing.B) { benchmark(b, bare, pipelinetest.NewHTTP1()) })
	b.Run("ten-nested-by-hand", func(b *testing.B) { benchmark(b, tenNested(), pipelinetest.NewHTTP1()) })
	b.Run("ten-in-a-pipeline", func(b *testing.B) { benchmark(b, tenPassThrough(), pipelinetest.NewHTTP1()) })
}

// Observing net/http's own writers with the hand-written wrap, and others with httpsnoop.
func BenchmarkObserve(b *testing.B) {
	nothing := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, _ *pipeline.Response, next http.Handler) {
		next.ServeHTTP(w, r)
	})
	once := nothing(bare)
	ten := bare
	for range 10 {
		ten = nothing(ten).(http.HandlerFunc)
	}
	b.Run("HTTP1", func(b *testing.B) { benchmark(b, once, pipelinetest.NewHTTP1()) })
	b.Run("HTTP2", func(b *testing.B) { benchmark(b, once, pipelinetest.NewHTTP2()) })
	b.Run("HTTP1-ten-of-them", func(b *testing.B) { benchmark(b, ten, pipelinetest.NewHTTP1()) })
	b.Run("HTTP1-by-httpsnoop", func(b *testing.B) {
		w := pipelinetest.NewHTTP1()
		benchmark(b, once, struct {
			http1WithoutCloseNotify
			reset
		}{w, w})
	})
}
