package middleware

import (
	"net/http"
	"net/url"
	"path"
	"reflect"
	"strings"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/pipeline"
)

// Endpoints puts an http.ServeMux into the middle of a pipeline: a request that
// it has a pattern for is answered there, with its path values, and one that it
// has nothing for goes on to the next handler. A path that it knows with other
// methods is answered 405 with an Allow header, as ServeMux does, and so is
// OPTIONS unless there is a pattern for it.
//
// The patterns name the path as the component sees it, without what branches
// above have taken off: below Map("/api") write "GET /x", not "GET /api/x". (To keep
// full patterns, use MapWith and branch.MapOptions.PreservePath.) Redirects that the mux makes by itself, from /tree to
// /tree/ and to the clean path, lead to the path with branch.PathBase in front, so
// they work below a Map; the path keeps the escapes that the client sent.
// A redirect that is a handler of the application's, http.RedirectHandler among
// them, is sent as it is: write it with branch.Redirect where it has to stay in a
// branch.
//
// The pattern is visible to the components around: in r.Pattern, as ServeMux sets
// it, and as pipeline's Response.Route with the path of the branches in front:
// "GET /api/items/{id}" below Map("/api"). Both are set before the handler runs.
// In the route the letters of that path are in lower case, however the client
// wrote them: it has few values and may label a metric.
//
// Patterns may be registered as long as the mux is in use. It costs a second look
// into the mux, which allocates where a pattern has wildcards, and a route below
// a branch is an allocation.
//
// It mirrors ASP.NET Core's UseRouting with UseEndpoints.
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
	if r.RequestURI == "*" { // OPTIONS *: no path at all
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
	e.mux.ServeHTTP(w, r) // and not h, which would lack the path values
}

// noPattern answers where the mux found no pattern for method and path: h is its
// 404, its 405 or its redirect to the clean path.
func (e *endpoints) noPattern(w http.ResponseWriter, r *http.Request, h http.Handler) {
	clean, isClean := cleanTarget(r)
	if isClean {
		if isNotFound(h, r) {
			e.next.ServeHTTP(w, r)
		} else {
			h.ServeHTTP(w, r)
		}
		return
	}
	// There is something to redirect to only where the clean path is known with
	// other methods.
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

// ownRedirect returns where the mux itself, not a handler that was registered
// with the pattern, wants to redirect. It goes by path and pattern, not by what
// the handler is: an application may register a redirect as well.
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

// lacksSlash reports whether a path is what the pattern stands for but for the
// slash at the end. A path without it matches a pattern with an open end only
// where it has more segments than the pattern.
func lacksSlash(p, pattern string) bool {
	pattern = pattern[max(0, strings.IndexByte(pattern, '/')):]
	last := pattern[strings.LastIndexByte(pattern, '/')+1:]
	open := last == "" || last == "{$}" || strings.HasPrefix(last, "{") && strings.HasSuffix(last, "...}")
	return open && !strings.HasSuffix(p, "/") && strings.Count(p, "/")+1 == strings.Count(pattern, "/")
}

// cleanTarget returns the escaped path as ServeMux cleans it, and whether it was
// clean.
func cleanTarget(r *http.Request) (clean string, isClean bool) {
	p := r.URL.EscapedPath()
	if r.Method == http.MethodConnect {
		return p, true // ServeMux leaves it
	}
	clean = cleanPath(p)
	return clean, clean == p
}

// cleanPath is what ServeMux takes for the canonical form of a path.
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

// isNotFound tells the handler that ServeMux has for unknown paths from the one
// for unknown methods. The first is a function that can be recognised; should it
// be another one some day, it is asked.
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

// statusProbe is a writer that keeps the status and nothing else.
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

// setRoute tells the components around which pattern matched.
func setRoute(r *http.Request, pattern string) {
	res, ok := pipeline.ResponseFrom(r)
	if !ok {
		return
	}
	res.SetRoute(routeBelow(branch.PathBase(r), pattern))
}

// routeBelow puts the path of the branches in front of a pattern's. Branches
// ignore the case of ASCII letters by default, so the client chooses it; a label
// must not have as many values as clients have ideas.
func routeBelow(base, pattern string) string {
	i := strings.IndexByte(pattern, '/')
	if base == "" || i < 0 {
		return pattern
	}
	var sb strings.Builder
	sb.Grow(len(pattern) + len(base))
	sb.WriteString(pattern[:i])
	for j := range len(base) {
		c := base[j]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		sb.WriteByte(c)
	}
	sb.WriteString(pattern[i:])
	return sb.String()
}
