package pipeline

import "net/http"

// UseFunc adds a component written as one function. It gets the next handler
// and may work before and after next.ServeHTTP(w, r), or not call it at all:
//
//	app.UseFunc(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
//		start := time.Now()
//		next.ServeHTTP(w, r)
//		log.Print(time.Since(start))
//	})
//
// It is ASP.NET Core's inline Use.
func (b *Builder) UseFunc(f func(w http.ResponseWriter, r *http.Request, next http.Handler)) *Builder {
	s := step{kind: kindUse, at: caller(), label: funcName(f)}
	if f != nil {
		s.mw = func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f(w, r, next) })
		}
	}
	b.add(s)
	return b
}
