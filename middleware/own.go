package middleware

import (
	"net/http"

	"github.com/speakingtube/speakingtube/pipeline"
)

// observeOwn makes a component that knows what was written below it, be it into
// a buffer that a component above holds back: own is the Response of the writer
// that f gets. Where nothing above observes, that is the request's Response, whose
// life then lasts until f has returned, so that a log below sees what f answers.
func observeOwn(f func(w http.ResponseWriter, r *http.Request, own *pipeline.Response, next http.Handler)) pipeline.Middleware {
	outermost, inner := pipeline.Observe(f), pipeline.ObserveWriter(f)
	return func(next http.Handler) http.Handler {
		o, i := outermost(next), inner(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, observed := pipeline.ResponseFrom(r); observed {
				i.ServeHTTP(w, r)
				return
			}
			o.ServeHTTP(w, r)
		})
	}
}

// failOwn is [Fail] for a component that knows what was written below it.
func failOwn(w http.ResponseWriter, r *http.Request, own *pipeline.Response, err error) {
	s := scopeOf(r)
	s.handle(w, r, func() bool { return own.Started() || s.started() }, err)
}
