package branch

import (
	"context"
	"net/http"

	"github.com/speakingtube/speakingtube/internal/pathguard"
)

// When returns a middleware that passes requests for which p holds to h, and all others to
// the next handler. The path stays unchanged. A matching request does not return to the
// main line: h answers it. The answer is 400 if an escaped slash would decide what p, made
// of [Path] and other predicates, returns. It corresponds to ASP.NET Core's MapWhen.
//
// When panics if p or h is nil.
func When(p Predicate, h http.Handler) func(http.Handler) http.Handler {
	mustPredicate("When", p)
	mustHandler("When", h)
	return func(next http.Handler) http.Handler {
		mustHandler("When", next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch decide(p, r) {
			case taken:
				h.ServeHTTP(w, r)
			case passed:
				next.ServeHTTP(w, r)
			default:
				pathguard.Refuse(w, r, http.StatusBadRequest, pathguard.Ambiguous)
			}
		})
	}
}

// UseWhen returns a middleware that puts mw in front of the next handler for requests for
// which p holds; others go to the next handler directly. The branch rejoins the main line
// unless mw answers. The answer is 400 as for [When]. It corresponds to ASP.NET Core's
// UseWhen.
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
			switch decide(p, r) {
			case taken:
				side.ServeHTTP(w, r)
			case passed:
				next.ServeHTTP(w, r)
			default:
				pathguard.Refuse(w, r, http.StatusBadRequest, pathguard.Ambiguous)
			}
		})
	}
}

// decision is the way that a request takes at a When.
type decision int

const (
	passed  decision = iota // the predicate does not hold
	taken                   // it holds
	refused                 // an escaped slash decides whether it holds
)

// decide evaluates p. If Path, somewhere in p, finds that an escaped slash decides, p is
// evaluated again with the other reading.
func decide(p Predicate, r *http.Request) decision {
	if !pathguard.EscapedSlash(r.URL) {
		return decided(p(r))
	}
	read := &reading{}
	r = r.WithContext(context.WithValue(r.Context(), readingKey{}, read))
	first := p(r)
	if !read.differs {
		return decided(first)
	}
	read.asData = true
	if p(r) != first {
		return refused
	}
	return decided(first)
}

func decided(holds bool) decision {
	if holds {
		return taken
	}
	return passed
}

// reading tells Path how to read escaped slashes. It is in the context of the request that
// decide passes to a predicate.
type reading struct {
	asData  bool // otherwise as separators
	differs bool // Path has returned something that depends on asData
}

type readingKey struct{}

func mustPredicate(fn string, p Predicate) {
	if p == nil {
		panic("branch." + fn + ": the predicate is nil")
	}
}
