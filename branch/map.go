package branch

import (
	"net/http"

	"github.com/speakingtube/speakingtube/internal/pathguard"
)

// MapOptions change how [MapWith] matches and which path the branch gets. The zero value is
// the behaviour of [Map].
type MapOptions struct {
	// PreservePath leaves the path and the PathBase unchanged: the branch gets the caller's
	// own request, as from [When]. It is for handlers that want the full path, for example
	// an http.ServeMux with full patterns, whose own redirects are then correct. A Map
	// inside such a branch takes the full path too. Default: the matched part moves to
	// [PathBase]. It corresponds to ASP.NET Core's preserveMatchedPathSegment.
	//
	// The path is preserved even if it is not clean: "/x/../admin" takes the branch of
	// "/admin" and arrives as "/x/../admin". [CleanPaths] and the handlers that package
	// pipeline builds reject such a path.
	PreservePath bool

	// MatchCase makes matching case-sensitive: "/Admin" and "/admin" are different paths.
	// Default: the case of ASCII letters is ignored.
	//
	// Avoid it for guards: if the main line ignores case (a file server on Windows or
	// macOS, a proxied application), "/ADMIN" gets past a guard on "/admin" that matches
	// case.
	MatchCase bool

	// EscapedSlashesAreData declares that an escaped slash ("%2F") in the path below the
	// prefix is data, and never separates segments: for a branch whose paths contain URLs
	// or other names with slashes ("/files/https%3A%2F%2Fexample.com"). The Maps, file
	// servers and health checks of the branch then match the escaped path only, as
	// http.ServeMux does. Default: if such a component would match when the slash is a
	// separator, and would not match when it is data, or the other way round, the answer is
	// 400. The prefix itself is always matched by the default rule.
	//
	// In such a branch r.URL.Path is decoded all the same. A handler that takes it apart,
	// or passes it to something that does, must use r.URL.EscapedPath instead.
	EscapedSlashesAreData bool

	// Literal accepts the prefix even if it looks like a pattern ("/users/{id}",
	// "/users/:id", "/files/*") or an escaped path ("/a%20b"), or has a query, a fragment
	// ("/x?y", "/c#") or control characters. Default: such a prefix is refused, because it
	// is rarely meant to match these characters in a decoded path.
	Literal bool
}

// Map returns a middleware that passes requests on or below prefix to h, with the matched
// part moved from the path to [PathBase], and all others to the next handler. A matching
// request does not return to the main line: h answers it.
//
// Only whole segments match, and the case of ASCII letters is ignored; see the package
// documentation, and [MapWith] for other rules. A request that does not match costs no
// allocation; one that matches costs one. The answer is 400 if an escaped slash would
// decide whether prefix matches.
//
// When h has returned or panicked, the pattern that an http.ServeMux inside has set on the
// branch's request is copied to the caller's r.Pattern, behind the prefix; see the package
// documentation.
//
// Map panics if prefix is invalid (see [CheckPrefix]) or h is nil.
//
// It corresponds to ASP.NET Core's Map. After an exact match the remaining path is "" in
// ASP.NET Core; here it is "/", and [Exact] reports true.
//
//go:noinline
func Map(prefix string, h http.Handler) func(http.Handler) http.Handler {
	mustPrefix("Map", prefix, MapOptions{})
	mustHandler("Map", h)
	return func(next http.Handler) http.Handler {
		mustHandler("Map", next)
		return &mapHandler{prefix, MapOptions{}, h, next}
	}
}

// MapWith is [Map] with options. With PreservePath a match costs no allocation.
//
// MapWith panics if prefix is invalid (see [CheckPrefixWith]) or h is nil.
//
//go:noinline
func MapWith(prefix string, opts MapOptions, h http.Handler) func(http.Handler) http.Handler {
	mustPrefix("MapWith", prefix, opts)
	mustHandler("MapWith", h)
	return func(next http.Handler) http.Handler {
		mustHandler("MapWith", next)
		return &mapHandler{prefix, opts, h, next}
	}
}

// mapHandler is the handler that Map puts into the main line.
type mapHandler struct {
	prefix  string
	opts    MapOptions
	h, next http.Handler
}

func (m *mapHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if pathguard.EscapedSlash(r.URL) {
		m.serveEscaped(w, r)
		return
	}
	p := clean(r.URL.Path)
	switch n := matchLen(p, m.prefix, m.opts.MatchCase); {
	case n < 0:
		m.next.ServeHTTP(w, r)
	case m.opts.PreservePath:
		m.h.ServeHTTP(w, r)
	default:
		serveBelow(m.h, w, r, p, r.URL.RawPath, m.prefix)
	}
}

// serveEscaped is ServeHTTP for a path with an escaped slash.
func (m *mapHandler) serveEscaped(w http.ResponseWriter, r *http.Request) {
	raw, p := cleanRaw(r.URL)
	asData, asSeparator := matchBoth(r.URL, raw, m.prefix, m.opts.MatchCase)
	state := pathguard.From(r)
	switch {
	case asData != asSeparator && !state.Data:
		pathguard.Refuse(w, r, http.StatusBadRequest, pathguard.Ambiguous)
		return
	case !asData:
		m.next.ServeHTTP(w, r)
		return
	case hasDotSegment(p):
		pathguard.Refuse(w, r, http.StatusBadRequest, pathguard.HiddenDots)
		return
	}
	if m.opts.EscapedSlashesAreData && !state.Data {
		state.Data = true
		declared := pathguard.With(r, state)
		defer leave(r, declared, "", r.Pattern)
		r = declared
	}
	if m.opts.PreservePath {
		m.h.ServeHTTP(w, r)
		return
	}
	serveBelow(m.h, w, r, p, raw, m.prefix)
}

// serveBelow calls h with a copy of r whose path is the part below prefix.
func serveBelow(h http.Handler, w http.ResponseWriter, r *http.Request, p, raw, prefix string) {
	inside := enter(r, p, raw, len(prefix))
	defer leave(r, inside, prefix, r.Pattern)
	h.ServeHTTP(w, inside)
}

func mustPrefix(fn, prefix string, opts MapOptions) {
	if err := CheckPrefixWith(prefix, opts); err != nil {
		panic("branch." + fn + ": " + err.Error())
	}
}

func mustHandler(fn string, h http.Handler) {
	if h == nil {
		panic("branch." + fn + ": the handler is nil")
	}
}
