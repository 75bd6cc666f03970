package branch

import "net/http"

// Map makes a middleware that gives requests on or below prefix to h, with the
// matched part moved from the path to [PathBase], and all others to the next
// handler. A request that matched never comes back: h answers it.
//
// Only whole segments match, and the case of ASCII letters is ignored; see the
// package doc. Map costs nothing for a request that does not match, and one
// allocation for one that does.
//
// It panics if prefix is no good (see [CheckPrefix]) or h is nil.
//
// It mirrors ASP.NET Core's Map, whose remaining path is "" on an exact match;
// here it is "/", and [Exact] tells.
func Map(prefix string, h http.Handler) func(http.Handler) http.Handler {
	mustPrefix("Map", prefix)
	mustHandler("Map", h)
	return func(next http.Handler) http.Handler {
		mustHandler("Map", next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if inside, ok := enter(r, prefix); ok {
				h.ServeHTTP(w, inside)
				removeForm(r, inside)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func mustPrefix(fn, prefix string) {
	if err := CheckPrefix(prefix); err != nil {
		panic("branch." + fn + ": " + err.Error())
	}
}

func mustHandler(fn string, h http.Handler) {
	if h == nil {
		panic("branch." + fn + ": the handler is nil")
	}
}
