package branch

import "net/http"

// MapOptions change how [MapWith] matches and what it hands on. The zero value
// is what [Map] does.
type MapOptions struct {
	// PreservePath leaves path and PathBase as they are: the branch gets the
	// caller's own request, as it does from [When]. It is for handlers that
	// want the full path: an http.ServeMux with full patterns, say, whose own
	// redirects are right then. A Map inside such a branch is written with the
	// full path as well. Default: the matched part moves to [PathBase]. It is
	// ASP.NET Core's preserveMatchedPathSegment.
	//
	// The path is preserved even if it is not clean: "/x/../admin" takes the
	// branch of "/admin" and arrives as "/x/../admin". [CleanPaths] and the
	// handlers that package pipeline builds let no such path in.
	PreservePath bool

	// MatchCase makes the case of letters count: "/Admin" is another path than
	// "/admin". Default: ASCII letters match in either case.
	//
	// Beware of it for guards: where the main line ignores case (a file server
	// on Windows or macOS, a proxied application), "/ADMIN" walks around a
	// guard on "/admin" that matches case.
	MatchCase bool

	// Literal takes the prefix as it is written, even if it looks like a
	// pattern ("/users/{id}", "/users/:id", "/files/*"), like an escaped path
	// ("/a%20b"), has a query or fragment ("/x?y", "/c#") or control
	// characters. Default: such a prefix is refused, because it is hardly ever
	// meant to match these very characters in a decoded path.
	Literal bool
}

// Map makes a middleware that gives requests on or below prefix to h, with the
// matched part moved from the path to [PathBase], and all others to the next
// handler. A request that matched never comes back: h answers it.
//
// Only whole segments match, and the case of ASCII letters is ignored; see the
// package doc, and [MapWith] for other rules. Map costs nothing for a request
// that does not match, and one allocation for one that does.
//
// When h has returned, or panicked, the pattern that an http.ServeMux inside
// has set on the branch's request is handed up to r.Pattern of the caller's,
// behind the prefix; see the package doc.
//
// It panics if prefix is no good (see [CheckPrefix]) or h is nil.
//
// It mirrors ASP.NET Core's Map, whose remaining path is "" on an exact match;
// here it is "/", and [Exact] tells.
//
//go:noinline
func Map(prefix string, h http.Handler) func(http.Handler) http.Handler {
	mustPrefix("Map", prefix, MapOptions{})
	mustHandler("Map", h)
	return func(next http.Handler) http.Handler {
		mustHandler("Map", next)
		return &mapped{prefix, MapOptions{}, h, next}
	}
}

// MapWith is [Map] with options. With PreservePath a match costs no allocation.
//
// It panics if prefix is no good (see [CheckPrefixWith]) or h is nil.
//
//go:noinline
func MapWith(prefix string, opts MapOptions, h http.Handler) func(http.Handler) http.Handler {
	mustPrefix("MapWith", prefix, opts)
	mustHandler("MapWith", h)
	return func(next http.Handler) http.Handler {
		mustHandler("MapWith", next)
		return &mapped{prefix, opts, h, next}
	}
}

// mapped is the fork that Map puts into the main line.
type mapped struct {
	prefix  string
	opts    MapOptions
	h, next http.Handler
}

func (m *mapped) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := clean(r.URL.Path)
	switch n := matchLen(p, m.prefix, m.opts.MatchCase); {
	case n < 0:
		m.next.ServeHTTP(w, r)
	case m.opts.PreservePath:
		m.h.ServeHTTP(w, r)
	default:
		serveBelow(m.h, w, r, p, m.prefix)
	}
}

// serveBelow gives h a copy of r that has what lies below prefix as its path.
func serveBelow(h http.Handler, w http.ResponseWriter, r *http.Request, p, prefix string) {
	inside := enter(r, p, len(prefix))
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
