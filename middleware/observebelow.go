package middleware

import (
	"net/http"

	"github.com/speakingtube/speakingtube/pipeline"
)

// observeBelow makes a component that observes the output of the handlers below it, even if
// a component above buffers it: own is the Response of the writer that f gets. If no
// component above observes, that is the request's Response, whose life then lasts until f
// has returned, so that a log below sees f's answer.
func observeBelow(f func(w http.ResponseWriter, r *http.Request, own *pipeline.Response, next http.Handler)) pipeline.Middleware {
	outermost, inner := pipeline.Observe(f), pipeline.ObserveWriter(f)
	return func(next http.Handler) http.Handler {
		o, i := outermost(next), inner(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, observed := pipeline.ResponseFrom(r.Context()); observed {
				i.ServeHTTP(w, r)
				return
			}
			o.ServeHTTP(w, r)
		})
	}
}

// failBelow is [Fail] for a component that observes the output below it.
func failBelow(w http.ResponseWriter, r *http.Request, own *pipeline.Response, err error) {
	scopeOf(r).fail(w, r, own, err)
}
