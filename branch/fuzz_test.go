package branch_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
)

// FuzzMap checks the invariants of a match against a simple implementation of the rules.
// outer and inner are the prefixes of two nested branches.
func FuzzMap(f *testing.F) {
	for _, tt := range mapTests {
		f.Add(tt.target, "/a", "/b", false)
		f.Add(tt.target, "/grüße", "/x", true)
	}
	for _, p := range goodPrefixes {
		u := url.URL{Path: strings.ToUpper(p) + p + "/x"}
		f.Add(u.String(), p, p, false)
	}
	for _, tt := range oddPrefixes {
		u := url.URL{Path: tt.prefix + "/../" + tt.prefix}
		f.Add(u.String(), tt.prefix, "/b", true)
	}
	f.Fuzz(func(t *testing.T, target, outer, inner string, matchCase bool) {
		u, err := url.ParseRequestURI(target)
		opts := branch.MapOptions{MatchCase: matchCase, Literal: true}
		if err != nil || u.Host != "" || u.Scheme != "" || branch.CheckPrefixWith(outer, opts) != nil || branch.CheckPrefixWith(inner, opts) != nil {
			return // no request has this path, and no Map has this prefix
		}
		original := *u
		r := &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}}
		cleaned := cleanedPath(u.Path)

		inside := branchRequest(t, r, outer, opts)
		require.Equal(t, original, *u, "the request is not changed")
		require.Equal(t, matchesBySegments(cleaned, outer, matchCase), inside != nil, "%q and %q", cleaned, outer)
		require.Equal(t, inside != nil, branch.PathWith(outer, opts)(r), "Path agrees with Map")
		onClean := branchRequest(t, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: cleaned}, Header: http.Header{}}, outer, opts)
		require.Equal(t, inside != nil, onClean != nil, "so does the cleaned path")
		if !matchCase && inside == nil {
			require.Nil(t, branchRequest(t, r, outer, branch.MapOptions{MatchCase: true, Literal: true}), "matching case never takes more")
		}
		based := basedRequest(t, r, outer, opts)
		if inside == nil {
			require.Same(t, r, based, "UsePathBase does not change it")
		} else {
			require.Equal(t, *inside.URL, *based.URL, "UsePathBase and Map remove the same part")
			require.Equal(t, branch.PathBase(inside), branch.PathBase(based))
			require.Equal(t, branch.Exact(inside), branch.Exact(based))
		}
		if under, err := branch.WithPathBase(r, outer+"/"); err == nil {
			require.Equal(t, outer, branch.PathBase(under))
			require.Equal(t, original, *under.URL, "WithPathBase leaves the path")
		}
		joined := branchRequest(t, r, outer+inner, opts)
		if inside == nil {
			require.Nil(t, joined)
			return
		}
		check(t, inside, cleaned, len(outer))

		both := branchRequest(t, inside, inner, opts)
		require.Equal(t, joined != nil, both != nil, "nested Maps are a Map of the joined prefix")
		if both != nil {
			check(t, both, cleaned, len(outer)+len(inner))
			require.Equal(t, *joined.URL, *both.URL)
			require.Equal(t, branch.PathBase(joined), branch.PathBase(both))
			require.Equal(t, branch.Exact(joined), branch.Exact(both))
		}
		keep := opts
		keep.PreservePath = true
		require.Same(t, r, branchRequest(t, r, outer, keep))
	})
}

// branchRequest returns the request that a branch gets for r, or nil if the main line gets
// r.
func branchRequest(t *testing.T, r *http.Request, prefix string, opts branch.MapOptions) *http.Request {
	var inside *http.Request
	missed := false
	branch.MapWith(prefix, opts, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { inside = r }))(
		http.HandlerFunc(func(_ http.ResponseWriter, main *http.Request) {
			require.Same(t, r, main)
			missed = true
		})).ServeHTTP(httptest.NewRecorder(), r)
	require.NotEqual(t, missed, inside != nil, "one of the two handlers answers")
	return inside
}

// basedRequest returns the request behind UsePathBase.
func basedRequest(t *testing.T, r *http.Request, base string, opts branch.MapOptions) (next *http.Request) {
	branch.UsePathBaseWith(base, opts)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { next = r })).
		ServeHTTP(httptest.NewRecorder(), r)
	require.NotNil(t, next)
	return next
}

// check asserts the invariants of a request in a branch. base is the length of everything
// that was matched.
func check(t *testing.T, r *http.Request, cleaned string, base int) {
	pathBase, p, raw := branch.PathBase(r), r.URL.Path, r.URL.RawPath
	require.Len(t, pathBase, base)
	require.True(t, strings.HasPrefix(p, "/"), "%q", p)
	require.True(t, branch.IsClean(p), "%q", p)
	if branch.Exact(r) {
		require.Equal(t, "/", p)
		require.Equal(t, cleaned, pathBase)
	} else {
		require.Equal(t, cleaned, pathBase+p)
	}
	if raw != "" {
		decoded, err := url.PathUnescape(raw)
		require.NoError(t, err)
		require.Equal(t, p, decoded)
		require.NotEqual(t, raw, (&url.URL{Path: p}).EscapedPath(), "the default needs no RawPath")
	}
}

// matchesBySegments implements the rule differently: the first segments are equal.
func matchesBySegments(cleaned, prefix string, matchCase bool) bool {
	have, want := strings.Split(cleaned, "/"), strings.Split(prefix, "/")
	if len(have) < len(want) {
		return false
	}
	for i := range want {
		if have[i] != want[i] && (matchCase || upperASCII(have[i]) != upperASCII(want[i])) {
			return false
		}
	}
	return true
}

func upperASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'a' <= c && c <= 'z' {
			b[i] = c - 32
		}
	}
	return string(b)
}

// cleanedPath keeps a trailing slash, which path.Clean does not.
func cleanedPath(p string) string {
	if strings.HasSuffix(p, "/") {
		return strings.TrimSuffix(path.Clean("/"+p), "/") + "/"
	}
	return path.Clean("/" + p)
}

// FuzzIsClean checks IsClean and CleanPaths against path.Clean.
func FuzzIsClean(f *testing.F) {
	for _, tt := range mapTests {
		f.Add(tt.target)
	}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Host != "" || u.Scheme != "" {
			return
		}
		clean := u.Path == cleanedPath(u.Path)
		require.Equal(t, clean, branch.IsClean(u.Path), "%q", u.Path)
		reached := false
		w := httptest.NewRecorder()
		branch.CleanPaths(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true })).
			ServeHTTP(w, &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}})
		require.Equal(t, clean || u.Path == "*", reached)
		if reached || w.Code == http.StatusBadRequest {
			return
		}
		require.Equal(t, http.StatusTemporaryRedirect, w.Code)
		to, err := url.ParseRequestURI(w.Header().Get("Location"))
		require.NoError(t, err)
		require.True(t, branch.IsClean(to.Path), "%q", to.Path)
		require.False(t, strings.HasPrefix(w.Header().Get("Location"), "//"))
		if !strings.ContainsFunc(u.RawQuery, func(c rune) bool { return c >= 0x80 }) { // http.Redirect escapes these
			require.Equal(t, u.RawQuery, to.RawQuery)
		}
	})
}
