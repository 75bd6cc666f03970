package middleware

import (
	"net/http"
	"net/url"
	"path"
	"reflect"
	"strings"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/internal/httpx"
	"github.com/speakingtube/speakingtube/pipeline"
)

// Endpoints puts an http.ServeMux into the middle of a pipeline: it answers a request for
// which the mux has a pattern, with path values, and passes other requests to the next
// handler. If the mux has the path only for other methods, the answer is 405 with an Allow
// header, as from ServeMux; the same holds for OPTIONS unless there is a pattern for it.
//
// The patterns use the component's path, without the parts that branches above have
// removed: below Map("/api") write "GET /x", not "GET /api/x". (To use full patterns, use
// MapWith and branch.MapOptions.PreservePath.) The mux's own redirects, from /tree to
// /tree/ and to the clean path, lead to the path with branch.PathBase in front, so they
// work below a Map; the path keeps the client's escapes. A redirect that is one of the
// application's handlers, also an http.RedirectHandler, is sent unchanged: use
// branch.Redirect if it has to stay in a branch.
//
// The components around see the pattern: in r.Pattern, as ServeMux sets it, and as
// pipeline's Response.Route with the path of the branches in front: "GET /api/items/{id}"
// below Map("/api"). Both are set before the handler runs. In the route the letters of the
// branches' path are in lower case, however the client wrote them: the route has few values
// and may label a metric. The route of a 405 is the path of a pattern for another method:
// "/api/items/{id}".
//
// Patterns may be registered while the mux is in use. Endpoints looks a request up twice,
// which allocates if a pattern has wildcards; a route below a branch costs one allocation.
//
// It corresponds to ASP.NET Core's UseRouting with UseEndpoints.
//
//go:noinline
func Endpoints(mux *http.ServeMux) pipeline.Middleware {
	return func(next http.Handler) http.Handler {
		if mux == nil {
			panic(&pipeline.ConfigError{Component: "middleware.Endpoints", Problem: "the ServeMux is nil: give it one from http.NewServeMux"})
		}
		return &endpoints{mux, next}
	}
}

type endpoints struct {
	mux  *http.ServeMux
	next http.Handler
}

func (e *endpoints) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.RequestURI == "*" { // OPTIONS *: there is no path
		e.next.ServeHTTP(w, r)
		return
	}
	h, pattern := e.mux.Handler(r)
	if pattern == "" {
		e.noPattern(w, r, h)
		return
	}
	if target, ok := e.ownRedirect(r, h, pattern); ok {
		r.Pattern = pattern
		setRoute(r, pattern)
		branch.Redirect(w, r, target, http.StatusTemporaryRedirect)
		return
	}
	setRoute(r, pattern)
	e.mux.ServeHTTP(w, r) // h would lack the path values
}

// noPattern answers if the mux has no pattern for method and path: h is its 404, its 405 or
// its redirect to the clean path.
func (e *endpoints) noPattern(w http.ResponseWriter, r *http.Request, h http.Handler) {
	clean, isClean := cleanTarget(r)
	if isClean {
		if isNotFound(h, r) {
			e.next.ServeHTTP(w, r)
		} else {
			e.routeOfOtherMethod(r, h)
			h.ServeHTTP(w, r)
		}
		return
	}
	// A redirect makes sense only if the clean path is known with other methods.
	cleaned := *r
	cleaned.URL = &url.URL{Path: clean, RawQuery: r.URL.RawQuery}
	if p, err := url.PathUnescape(clean); err == nil {
		cleaned.URL.Path, cleaned.URL.RawPath = p, clean
	}
	if h, pattern := e.mux.Handler(&cleaned); pattern == "" && isNotFound(h, &cleaned) {
		e.next.ServeHTTP(w, r)
		return
	}
	branch.Redirect(w, r, withQuery(clean, r), http.StatusTemporaryRedirect)
}

// routeOfOtherMethod sets the route of an answer 405 to the path of the pattern that the mux
// has for another method. h is the mux's handler that answers.
func (e *endpoints) routeOfOtherMethod(r *http.Request, h http.Handler) {
	if _, observed := pipeline.ResponseFrom(r.Context()); !observed {
		return
	}
	answer := &statusProbe{header: http.Header{}}
	h.ServeHTTP(answer, r)
	for method := range strings.SplitSeq(answer.header.Get("Allow"), ",") {
		other := *r
		other.Method = strings.TrimSpace(method)
		if _, pattern := e.mux.Handler(&other); pattern != "" {
			_, withoutMethod, _ := strings.Cut(pattern, " ")
			setRoute(r, withoutMethod)
			return
		}
	}
}

// ownRedirect returns the target if the mux itself, not a registered handler, would
// redirect. It compares path and pattern and ignores the handler's type: an application may
// register a redirect too.
func (e *endpoints) ownRedirect(r *http.Request, h http.Handler, pattern string) (target string, ok bool) {
	if r.Method == http.MethodConnect { // its path is not cleaned, and its "pattern" is the target
		p := r.URL.EscapedPath()
		if reflect.TypeOf(h) != redirectType || strings.HasSuffix(p, "/") || pattern != cleanPath(r.URL.Path)+"/" {
			return "", false
		}
		return withQuery(cleanPath(p)+"/", r), true
	}
	clean, isClean := cleanTarget(r)
	switch {
	case lacksSlash(clean, pattern):
		return withQuery(clean+"/", r), true
	case !isClean:
		return withQuery(clean, r), true
	}
	return "", false
}

var redirectType = reflect.TypeOf(http.RedirectHandler("", 0))

// lacksSlash reports whether the pattern matches p only with a trailing slash. A path
// without the slash matches a pattern with an open end only if it has more segments than
// the pattern.
func lacksSlash(p, pattern string) bool {
	pattern = pattern[max(0, strings.IndexByte(pattern, '/')):]
	last := pattern[strings.LastIndexByte(pattern, '/')+1:]
	open := last == "" || last == "{$}" || strings.HasPrefix(last, "{") && strings.HasSuffix(last, "...}")
	return open && !strings.HasSuffix(p, "/") && strings.Count(p, "/")+1 == strings.Count(pattern, "/")
}

// cleanTarget returns the escaped path as ServeMux cleans it, and whether it was clean.
func cleanTarget(r *http.Request) (clean string, isClean bool) {
	p := r.URL.EscapedPath()
	if r.Method == http.MethodConnect {
		return p, true // ServeMux does not change it
	}
	clean = cleanPath(p)
	return clean, clean == p
}

// cleanPath returns ServeMux's canonical form of a path.
func cleanPath(p string) string {
	if p == "" {
		return "/"
	}
	if p[0] != '/' {
		p = "/" + p
	}
	clean := path.Clean(p)
	if p[len(p)-1] == '/' && clean != "/" {
		clean += "/"
	}
	return clean
}

func withQuery(p string, r *http.Request) string {
	if r.URL.RawQuery == "" {
		return p
	}
	return p + "?" + r.URL.RawQuery
}

// isNotFound distinguishes ServeMux's handler for unknown paths from the one for unknown
// methods. The first is a function that can be recognised; if a later Go release uses
// another one, isNotFound calls it.
func isNotFound(h http.Handler, r *http.Request) bool {
	f, ok := h.(http.HandlerFunc)
	if ok && reflect.ValueOf(f).Pointer() == notFoundPointer {
		return true
	}
	probe := &statusProbe{header: http.Header{}}
	h.ServeHTTP(probe, r)
	return probe.status == http.StatusNotFound
}

var notFoundPointer = reflect.ValueOf(http.NotFound).Pointer()

// statusProbe is a writer that records only the status.
type statusProbe struct {
	header http.Header
	status int
}

func (p *statusProbe) Header() http.Header         { return p.header }
func (p *statusProbe) Write(b []byte) (int, error) { p.WriteHeader(http.StatusOK); return len(b), nil }
func (p *statusProbe) WriteHeader(code int) {
	if p.status == 0 {
		p.status = code
	}
}

// setRoute sets the matched pattern as the route for the components around.
func setRoute(r *http.Request, pattern string) {
	res, ok := pipeline.ResponseFrom(r.Context())
	if !ok {
		return
	}
	res.SetRoute(httpx.RouteBelow(branch.PathBase(r), pattern))
}
