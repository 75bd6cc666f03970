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
	for _, tt := range escapedSlashTests {
		f.Add(tt.target, "/a", "/b", false)
	}
	f.Fuzz(func(t *testing.T, target, outer, inner string, matchCase bool) {
		u, err := url.ParseRequestURI(target)
		opts := branch.MapOptions{MatchCase: matchCase, Literal: true}
		if err != nil || u.Host != "" || u.Scheme != "" || branch.CheckPrefixWith(outer, opts) != nil || branch.CheckPrefixWith(inner, opts) != nil {
			return // no request has this path, and no Map has this prefix
		}
		original := *u
		r := &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}}
		read := readBoth(u)

		inside, way := branchRequest(t, r, outer, opts)
		require.Equal(t, original, *u, "the request is not changed")
		require.Equal(t, read.way(outer, matchCase), way, "%q and %q", target, outer)
		require.Equal(t, matchesBySegments(read.asSeparator, outer, matchCase), branch.PathWith(outer, opts)(r), "Path agrees with Map")
		if !read.hiddenDots {
			require.Equal(t, way, whenWay(r, branch.PathWith(outer, opts)), "When agrees with Map")
		}
		if !read.escaped {
			onClean, _ := branchRequest(t, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: read.asData}, Header: http.Header{}}, outer, opts)
			require.Equal(t, inside != nil, onClean != nil, "so does the cleaned path")
		}
		if !matchCase && inside == nil {
			exact, _ := branchRequest(t, r, outer, branch.MapOptions{MatchCase: true, Literal: true})
			require.Nil(t, exact, "matching case never takes more")
		}
		based := basedRequest(r, outer, opts)
		switch way {
		case "main":
			require.Same(t, r, based, "UsePathBase does not change it")
		case "refused":
			require.Nil(t, based)
		default:
			require.Equal(t, *inside.URL, *based.URL, "UsePathBase and Map remove the same part")
			require.Equal(t, branch.PathBase(inside), branch.PathBase(based))
			require.Equal(t, branch.Exact(inside), branch.Exact(based))
		}
		if under, err := branch.WithPathBase(r, outer+"/"); err == nil {
			require.Equal(t, outer, branch.PathBase(under))
			require.Equal(t, original, *under.URL, "WithPathBase leaves the path")
		}
		joined, joinedWay := branchRequest(t, r, outer+inner, opts)
		if inside == nil {
			require.Nil(t, joined)
			return
		}
		check(t, inside, read.asData, len(outer))

		both, bothWay := branchRequest(t, inside, inner, opts)
		require.Equal(t, joinedWay, bothWay, "nested Maps are a Map of the joined prefix")
		if both != nil {
			check(t, both, read.asData, len(outer)+len(inner))
			require.Equal(t, *joined.URL, *both.URL)
			require.Equal(t, branch.PathBase(joined), branch.PathBase(both))
			require.Equal(t, branch.Exact(joined), branch.Exact(both))
		}
		keep := opts
		keep.PreservePath = true
		kept, _ := branchRequest(t, r, outer, keep)
		require.Same(t, r, kept)

		data := opts
		data.EscapedSlashesAreData = true
		declared, _ := branchRequest(t, r, outer, data)
		require.Equal(t, *inside.URL, *declared.URL, "the declaration is for what is below")
		_, declaredWay := branchRequest(t, declared, inner, opts)
		if matchesSegments(read.segments, strings.Split(outer+inner, "/"), matchCase) {
			require.Equal(t, "branch", declaredWay, "escaped slashes are data")
		} else {
			require.Equal(t, "main", declaredWay, "escaped slashes are data")
		}
	})
}

// bothReadings are a path as a reader of the escaped path and one of the decoded path
// understand it.
type bothReadings struct {
	escaped     bool     // there is an escaped slash
	segments    []string // between plain slashes, decoded, without empty and dot segments
	asData      string   // the same as a path
	asSeparator string   // the decoded path, cleaned
	hiddenDots  bool     // a dot segment is left beside an escaped slash
}

// readBoth is the model: it splits first and decodes the segments, or decodes first and
// splits.
func readBoth(u *url.URL) bothReadings {
	raw := u.RawPath
	if raw == "" {
		raw = u.EscapedPath()
	}
	read := bothReadings{escaped: strings.Contains(strings.ToUpper(raw), "%2F"), asSeparator: cleanedPath(u.Path), segments: []string{""}}
	for seg := range strings.SplitSeq(raw, "/") {
		plain, err := url.PathUnescape(seg)
		if err != nil {
			panic(err)
		}
		switch plain {
		case "", ".":
		case "..":
			read.segments = read.segments[:max(1, len(read.segments)-1)]
		default:
			read.segments = append(read.segments, plain)
		}
	}
	if strings.HasSuffix(raw, "/") || len(read.segments) == 1 {
		read.segments = append(read.segments, "")
	}
	read.asData = strings.Join(read.segments, "/")
	for seg := range strings.SplitSeq(read.asData, "/") {
		read.hiddenDots = read.hiddenDots || seg == "." || seg == ".."
	}
	return read
}

// way returns the way of a request at a Map of prefix.
func (b bothReadings) way(prefix string, matchCase bool) string {
	asData := matchesSegments(b.segments, strings.Split(prefix, "/"), matchCase)
	switch {
	case asData != matchesBySegments(b.asSeparator, prefix, matchCase):
		return "refused"
	case !asData:
		return "main"
	case b.hiddenDots:
		return "refused"
	}
	return "branch"
}

// branchRequest returns the request that a branch gets for r, if it gets one, and the way
// that r takes.
func branchRequest(t *testing.T, r *http.Request, prefix string, opts branch.MapOptions) (inside *http.Request, way string) {
	w := httptest.NewRecorder()
	branch.MapWith(prefix, opts, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { inside, way = r, "branch" }))(
		http.HandlerFunc(func(_ http.ResponseWriter, main *http.Request) {
			require.Same(t, r, main)
			way = "main"
		})).ServeHTTP(w, r)
	if way == "" {
		require.Equal(t, http.StatusBadRequest, w.Code)
		way = "refused"
	}
	return inside, way
}

// whenWay returns the way of r at a When.
func whenWay(r *http.Request, p branch.Predicate) (way string) {
	way = "refused"
	branch.When(p, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { way = "branch" }))(
		http.HandlerFunc(func(http.ResponseWriter, *http.Request) { way = "main" })).ServeHTTP(httptest.NewRecorder(), r)
	return way
}

// basedRequest returns the request behind UsePathBase, or nil if it is refused.
func basedRequest(r *http.Request, base string, opts branch.MapOptions) (next *http.Request) {
	branch.UsePathBaseWith(base, opts)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { next = r })).
		ServeHTTP(httptest.NewRecorder(), r)
	return next
}

// check asserts the invariants of a request in a branch. base is the length of everything
// that was matched.
func check(t *testing.T, r *http.Request, cleaned string, base int) {
	pathBase, p, raw := branch.PathBase(r), r.URL.Path, r.URL.RawPath
	require.Len(t, pathBase, base)
	require.True(t, strings.HasPrefix(p, "/"), "%q", p)
	require.True(t, branch.IsClean(p) || strings.Contains(strings.ToUpper(raw), "%2F"), "%q", p)
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
	return matchesSegments(strings.Split(cleaned, "/"), strings.Split(prefix, "/"), matchCase)
}

func matchesSegments(have, want []string, matchCase bool) bool {
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
		require.Equal(t, u.Path == cleanedPath(u.Path), branch.IsClean(u.Path), "%q", u.Path)
		read := readBoth(u)
		raw := u.RawPath
		if raw == "" {
			raw = u.EscapedPath()
		}
		decoded, err := url.PathUnescape(raw)
		require.NoError(t, err)
		pass := strings.HasPrefix(decoded, "/") && !strings.Contains(decoded, "\x00") && !read.hiddenDots && decoded == read.asData && strings.Count(raw, "/") == len(read.segments)-1
		var reached *http.Request
		w := httptest.NewRecorder()
		branch.CleanPaths(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reached = r })).
			ServeHTTP(w, &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}, ProtoMajor: 1})
		require.Equal(t, pass, reached != nil, "%q", target)
		if pass {
			require.Equal(t, u.Path, reached.URL.Path)
			if read.escaped {
				require.Equal(t, reached.URL.RawPath, reached.URL.EscapedPath(), "routers read the escaped slashes")
			}
			return
		}
		if w.Code == http.StatusBadRequest || w.Code == http.StatusMethodNotAllowed {
			require.Equal(t, u.Path == "*", w.Code == http.StatusMethodNotAllowed)
			return
		}
		require.Equal(t, http.StatusTemporaryRedirect, w.Code)
		to, err := url.ParseRequestURI(w.Header().Get("Location"))
		require.NoError(t, err)
		require.Equal(t, read.asData, to.Path)
		require.False(t, strings.HasPrefix(w.Header().Get("Location"), "//"))
		if !strings.ContainsFunc(u.RawQuery, func(c rune) bool { return c >= 0x80 }) { // http.Redirect escapes these
			require.Equal(t, u.RawQuery, to.RawQuery)
		}
	})
}
