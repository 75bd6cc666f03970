package branch

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/speakingtube/speakingtube/internal/httpx"
	"github.com/speakingtube/speakingtube/internal/pathguard"
)

// scope holds a branch's additions to a request in one allocation: the copy of the request,
// its URL, and the context node that remembers the match.
type scope struct {
	context.Context // of the request outside the branch

	path  string // PathBase followed by Path, in the request's spelling
	base  int    // length of the PathBase in path
	exact bool   // the prefix matched the whole path

	url url.URL
	req http.Request
}

type scopeKey struct{}

// Value implements context.Context.
func (s *scope) Value(key any) any {
	if key == (scopeKey{}) {
		return s
	}
	return s.Context.Value(key)
}

func scopeOf(r *http.Request) *scope {
	ctx := r.Context()
	if s, ok := ctx.(*scope); ok {
		return s
	}
	s, _ := ctx.Value(scopeKey{}).(*scope)
	return s
}

// PathBase returns the part of the path that Map and UsePathBase have removed, in the
// request's own spelling and decoded; "" outside any branch.
func PathBase(r *http.Request) string {
	if s := scopeOf(r); s != nil {
		return s.path[:s.base]
	}
	return ""
}

// Exact reports whether the innermost Map or UsePathBase matched the whole path. r.URL.Path
// is "/" then, although the client did not send that slash.
func Exact(r *http.Request) bool {
	s := scopeOf(r)
	return s != nil && s.exact
}

// UsePathBase moves base from the path to PathBase for requests on or below it and
// continues with the same pipeline; other requests pass unchanged. Use it for an
// application that a proxy serves below a prefix without removing the prefix; if the proxy
// removes it, use [WithPathBase]. Matching and r.Pattern follow the rules of [Map].
//
// UsePathBase panics if base is an invalid prefix (see [CheckPrefix]).
//
//go:noinline
func UsePathBase(base string) func(http.Handler) http.Handler {
	mustPrefix("UsePathBase", base, MapOptions{})
	return func(next http.Handler) http.Handler {
		mustHandler("UsePathBase", next)
		return &mapHandler{base, MapOptions{}, next, next}
	}
}

// UsePathBaseWith is [UsePathBase] with options. It panics if base is an invalid prefix
// (see [CheckPrefixWith]), and if PreservePath is set, which would make it do nothing.
//
//go:noinline
func UsePathBaseWith(base string, opts MapOptions) func(http.Handler) http.Handler {
	mustPrefix("UsePathBaseWith", base, opts)
	if opts.PreservePath {
		panic("branch.UsePathBaseWith: PreservePath would make it do nothing")
	}
	return func(next http.Handler) http.Handler {
		mustHandler("UsePathBaseWith", next)
		return &mapHandler{base, opts, next, next}
	}
}

// WithPathBase returns a copy of r with base in front of its PathBase: a base that a proxy
// has removed from the path and sends in X-Forwarded-Prefix, so that [Link] and [Redirect]
// restore it. The path and the result of [Exact] stay the same. base is decoded text; a
// trailing slash is dropped. If base is "" or "/", r itself is returned.
//
// It returns an error if base does not begin with a slash, or has empty or dot segments, a
// backslash or a control character. The source of base must be trusted: it decides where
// the application's links lead.
//
// net/http does not know the copy. If you pass the copy to a next handler, then copy its
// Pattern to r when that returns, and remove the files of its MultipartForm if r has none.
func WithPathBase(r *http.Request, base string) (*http.Request, error) {
	full := base
	base = strings.TrimSuffix(base, "/")
	switch {
	case full == "" || full == "/":
		return r, nil
	case base == "" || base[0] != '/':
		return nil, fmt.Errorf("branch: the path base %q must begin with one slash", full)
	case !IsClean(base) || base[len(base)-1] == '/':
		return nil, fmt.Errorf("branch: the path base %q has empty or dot segments", full)
	case strings.ContainsFunc(base, func(c rune) bool { return c == '\\' || httpx.IsControl(c) }):
		return nil, fmt.Errorf("branch: the path base %q has a backslash or a control character", full)
	}
	s := &scope{Context: r.Context(), base: len(base)}
	if up := scopeOf(r); up != nil {
		s.path, s.base, s.exact = base+up.path, len(base)+up.base, up.exact
	} else {
		s.path = base + r.URL.Path
	}
	s.url = *r.URL
	return s.request(r), nil
}

// enter returns a copy of r whose path is the part below the first n bytes of p. p is r's
// path, cleaned, and raw its escaped form if that is not the default encoding.
func enter(r *http.Request, p, raw string, n int) *http.Request {
	s := &scope{Context: r.Context(), path: p, base: n, exact: n == len(p)}
	if up := scopeOf(r); up != nil {
		if up.path[up.base:] == p { // the path was not rewritten in between
			s.path = up.path
		} else {
			s.path = up.path[:up.base] + p
		}
		s.base = up.base + n
	}
	s.url = *r.URL
	if s.exact {
		s.url.Path, s.url.RawPath = "/", ""
	} else {
		s.url.Path, s.url.RawPath = p[n:], rawBelow(raw, p, n)
	}
	return s.request(r)
}

// request returns the scope's copy of r.
func (s *scope) request(r *http.Request) *http.Request {
	s.req = *r.WithContext(s) // WithContext is inlined, and its copy stays on the stack
	s.req.URL = &s.url
	return &s.req
}

// rawBelow returns the part of the escaped path raw that stands for p[n:], or "" if raw is
// not an encoding of p or the part is the default encoding. The slash at the cut is a plain
// one.
func rawBelow(raw, p string, n int) string {
	cut := 0
	i := 0 // index in p
	for j := 0; j < len(raw); i++ {
		if i == n {
			cut = j
		}
		if i == len(p) {
			return ""
		}
		b, size := raw[j], 1
		if b == '%' {
			if j+2 >= len(raw) {
				return ""
			}
			hi, lo := pathguard.Unhex(raw[j+1]), pathguard.Unhex(raw[j+2])
			if hi < 0 || lo < 0 {
				return ""
			}
			b, size = byte(hi<<4|lo), 3
		}
		if b != p[i] {
			return ""
		}
		j += size
	}
	if i != len(p) || raw == "" {
		return ""
	}
	below := raw[cut:]
	if u := (url.URL{Path: p[n:]}); u.EscapedPath() == below {
		return "" // as net/url does: routers check whether RawPath is set
	}
	return below
}
