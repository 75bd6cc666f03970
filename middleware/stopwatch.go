package middleware

import (
	"net/http"
	"time"

	"github.com/speakingtube/speakingtube/pipeline"
)

// Stopwatch measures the time of the rest of the pipeline, including the body, and calls
// report when the rest has returned or panicked. report runs on the request's goroutine and
// may still write to the response, except after a panic: otherwise Recover finds the
// response started and can only abort. The time does not include an upgraded connection
// that continues after the handler has returned.
//
//go:noinline
func Stopwatch(report func(w http.ResponseWriter, r *http.Request, took time.Duration)) pipeline.Middleware {
	return func(next http.Handler) http.Handler {
		if report == nil {
			panic(&pipeline.ConfigError{Component: "middleware.Stopwatch", Problem: "the report function is nil: pass one that takes the duration"})
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			start := time.Now()
			defer func() { report(w, r, time.Since(start)) }()
			next.ServeHTTP(w, r)
		})
	}
}
