package branch

import "net/http"

// When returns a middleware that passes requests for which p holds to h, and all others to
// the next handler. The path stays unchanged. A matching request does not return to the
// main line: h answers it. It corresponds to ASP.NET Core's MapWhen.
//
// When panics if p or h is nil.
func When(p Predicate, h http.Handler) func(http.Handler) http.Handler {
	mustPredicate("When", p)
	mustHandler("When", h)
	return func(next http.Handler) http.Handler {
		mustHandler("When", next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if p(r) {
				h.ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// UseWhen returns a middleware that puts mw in front of the next handler for requests for
// which p holds; others go to the next handler directly. The branch rejoins the main line
// unless mw answers. It corresponds to ASP.NET Core's UseWhen.
//
// UseWhen panics if p or mw is nil, or if mw returns a nil handler.
func UseWhen(p Predicate, mw func(http.Handler) http.Handler) func(http.Handler) http.Handler {
	mustPredicate("UseWhen", p)
	if mw == nil {
		panic("branch.UseWhen: the middleware is nil")
	}
	return func(next http.Handler) http.Handler {
		mustHandler("UseWhen", next)
		side := mw(next)
		if side == nil {
			panic("branch.UseWhen: the middleware made a nil handler")
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if p(r) {
				side.ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func mustPredicate(fn string, p Predicate) {
	if p == nil {
		panic("branch." + fn + ": the predicate is nil")
	}
}
