package middleware

import (
	"net/http"
	"time"

	"github.com/speakingtube/speakingtube/pipeline"
)

// Stopwatch measures how long the rest of the pipeline takes, body included,
// and hands that to report when the rest has returned, or panicked. report runs
// on the request's goroutine and may still write to the response; not after a
// panic, though, or Recover finds it started and can only abort. An upgraded
// connection that lives on after the handler has returned is not part of it.
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
