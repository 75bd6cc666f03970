package branch

import (
	"context"
	"net/http"
	"net/url"
)

// scope is what a branch adds to a request, in one allocation: the request's
// copy, its URL, and the context node that remembers what was matched.
type scope struct {
	context.Context // of the request outside the branch

	path  string // PathBase and Path together, in the request's spelling
	base  int    // how much of path is PathBase
	exact bool   // the match took up the whole path

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

// PathBase returns the part of the path that Map and UsePathBase have taken
// off, in the request's own spelling and decoded; "" outside any branch.
func PathBase(r *http.Request) string {
	if s := scopeOf(r); s != nil {
		return s.path[:s.base]
	}
	return ""
}

// Exact reports whether the innermost Map or UsePathBase took up the whole
// path. r.URL.Path is "/" then, although the client sent no slash there.
func Exact(r *http.Request) bool {
	s := scopeOf(r)
	return s != nil && s.exact
}

// UsePathBase moves base from the path to PathBase for requests on or below it
// and goes on with the same pipeline; other requests pass unchanged. It is for
// an application that a proxy serves below a prefix without taking it off.
//
// It panics if base is no good prefix (see CheckPrefix).
func UsePathBase(base string) func(http.Handler) http.Handler {
	mustPrefix("UsePathBase", base)
	return func(next http.Handler) http.Handler {
		mustHandler("UsePathBase", next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			moved, ok := enter(r, base)
			if !ok {
				next.ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(w, moved)
			removeForm(r, moved)
		})
	}
}

// WithPathBase returns a copy of r with base put in front of its PathBase; the
// path stays as it is. It is for a prefix that a proxy has taken off. It panics
// if base is no good prefix (see CheckPrefix).
func WithPathBase(r *http.Request, base string) *http.Request {
	mustPrefix("WithPathBase", base)
	base += PathBase(r)
	s := &scope{Context: r.Context(), path: base + clean(r.URL.Path), base: len(base), exact: Exact(r)}
	s.req = *r.WithContext(s)
	return &s.req
}

// enter returns a copy of r whose path is what lies below prefix, or false if
// r is neither on nor below it.
func enter(r *http.Request, prefix string) (*http.Request, bool) {
	p := clean(r.URL.Path)
	n := matchLen(p, prefix)
	if n < 0 {
		return nil, false
	}
	s := &scope{Context: r.Context(), path: p, base: n, exact: n == len(p)}
	if up := scopeOf(r); up != nil {
		if up.path[up.base:] == p { // nobody rewrote the path in between
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
		s.url.Path, s.url.RawPath = p[n:], rawBelow(r.URL.RawPath, p, n)
	}
	s.req = *r.WithContext(s) // WithContext is inlined and its own copy stays on the stack
	s.req.URL = &s.url
	return &s.req, true
}

// rawBelow returns what of the escaped path raw stands for p[n:], or "" if raw
// is no encoding of p, or if the cut falls on an escaped slash (there is no
// rooted escaped form then; the decoded path rules).
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
			hi, lo := unhex(raw[j+1]), unhex(raw[j+2])
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
	if i != len(p) || raw == "" || raw[cut] != '/' {
		return ""
	}
	return raw[cut:]
}

func unhex(b byte) int {
	switch {
	case '0' <= b && b <= '9':
		return int(b - '0')
	case 'a' <= b && b <= 'f':
		return int(b-'a') + 10
	case 'A' <= b && b <= 'F':
		return int(b-'A') + 10
	}
	return -1
}

// removeForm removes the files of a form that was parsed on the copy of a
// request: net/http does that for its own request only.
func removeForm(r, moved *http.Request) {
	if form := moved.MultipartForm; form != nil && form != r.MultipartForm {
		_ = form.RemoveAll() // net/http drops this error as well
	}
}
