package branch_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
)

func TestMapWith(t *testing.T) {
	with := func(prefix string, opts branch.MapOptions, h http.Handler) http.Handler {
		return branch.MapWith(prefix, opts, h)(show("main"))
	}
	keep, exact, literal := branch.MapOptions{PreservePath: true}, branch.MapOptions{MatchCase: true}, branch.MapOptions{Literal: true}
	for _, tt := range []struct {
		name   string
		h      http.Handler
		target string
		want   string
	}{
		{"zero options", with("/a", branch.MapOptions{}, show("a")), "/A/x", `a base="/A" path="/x" raw="" exact=false`},

		{"preserved", with("/a", keep, show("a")), "/A/x%2Fy", `a base="" path="/A/x/y" raw="/A/x%2Fy" exact=false`},
		{"preserved, exactly", with("/a", keep, show("a")), "/a", `a base="" path="/a" raw="" exact=false`},
		{"preserved, unclean as it is", with("/a", keep, show("a")), "/x/..//a/y", `a base="" path="/x/..//a/y" raw="" exact=false`},
		{"preserved, elsewhere", with("/a", keep, show("a")), "/ab", `main base="" path="/ab" raw="" exact=false`},
		{"preserved, nested with the full prefix", with("/a", keep, with("/a/b", branch.MapOptions{}, show("ab"))), "/a/b/c", `ab base="/a/b" path="/c" raw="" exact=false`},
		{"preserved, inside a Map", with("/a", branch.MapOptions{}, with("/b", keep, show("ab"))), "/a/b/c", `ab base="/a" path="/b/c" raw="" exact=false`},
		{"preserved, never falls back", with("/a", keep, http.NotFoundHandler()), "/a/x", "404 page not found\n"},

		{"case", with("/aB", exact, show("aB")), "/aB/X", `aB base="/aB" path="/X" raw="" exact=false`},
		{"case, another", with("/aB", exact, show("aB")), "/ab/X", `main base="" path="/ab/X" raw="" exact=false`},
		{"case, escaped", with("/aB", exact, show("aB")), "/%61%42", `aB base="/aB" path="/" raw="" exact=true`},
		{"case, whole segments", with("/aB", exact, show("aB")), "/aBc", `main base="" path="/aBc" raw="" exact=false`},
		{"case and preserved", with("/aB", branch.MapOptions{MatchCase: true, PreservePath: true}, show("aB")), "/ab", `main base="" path="/ab" raw="" exact=false`},

		{"literal braces", with("/{id}", literal, show("id")), "/%7BID%7D/x", `id base="/{ID}" path="/x" raw="" exact=false`},
		{"literal braces stand for nothing else", with("/{id}", literal, show("id")), "/7/x", `main base="" path="/7/x" raw="" exact=false`},
		{"literal star", with("/*", literal, show("star")), "/*/x", `star base="/*" path="/x" raw="" exact=false`},
		{"literal star stands for nothing else", with("/*", literal, show("star")), "/y/x", `main base="" path="/y/x" raw="" exact=false`},
		{"literal escape", with("/a%20b", literal, show("ab")), "/a%2520b", `ab base="/a%20b" path="/" raw="" exact=true`},
		{"a literal escape is not an escape", with("/a%20b", literal, show("ab")), "/a%20b", `main base="" path="/a b" raw="" exact=false`},
		{"literal query", with("/a?b", literal, show("ab")), "/a%3Fb/c?d", `ab base="/a?b" path="/c" raw="" exact=false`},
		{"literal fragment", with("/c#", literal, show("c")), "/c%23", `c base="/c#" path="/" raw="" exact=true`},
	} {
		t.Run(tt.name, func(t *testing.T) { require.Equal(t, tt.want, getTarget(tt.h, tt.target)) })
	}
}

func TestPreservePathHandsOnTheRequestItself(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/a/x", nil)
	branch.MapWith("/a", branch.MapOptions{PreservePath: true}, http.HandlerFunc(func(_ http.ResponseWriter, inside *http.Request) {
		require.Same(t, r, inside)
	}))(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), r)
}

func TestPathWith(t *testing.T) {
	for _, tt := range []struct {
		p      branch.Predicate
		target string
		want   bool
	}{
		{branch.PathWith("/aB", branch.MapOptions{}), "/AB/x", true},
		{branch.PathWith("/aB", branch.MapOptions{MatchCase: true}), "/AB/x", false},
		{branch.PathWith("/aB", branch.MapOptions{MatchCase: true}), "/x/../aB", true},
		{branch.PathWith("/aB", branch.MapOptions{MatchCase: true, PreservePath: true}), "/aB/x", true},
		{branch.PathWith("/{x}", branch.MapOptions{Literal: true}), "/%7Bx%7D", true},
		{branch.PathWith("/{x}", branch.MapOptions{Literal: true}), "/1", false},
	} {
		require.Equal(t, tt.want, tt.p(httptest.NewRequest(http.MethodGet, tt.target, nil)), tt.target)
	}
}

func TestUsePathBaseWith(t *testing.T) {
	h := branch.UsePathBaseWith("/App", branch.MapOptions{MatchCase: true})(branch.Map("/a", show("a"))(show("main")))
	require.Equal(t, `a base="/App/a" path="/x" raw="" exact=false`, getTarget(h, "/App/a/x"))
	require.Equal(t, `main base="" path="/app/a/x" raw="" exact=false`, getTarget(h, "/app/a/x"))
	require.Equal(t, `a base="/a" path="/x" raw="" exact=false`, getTarget(h, "/a/x"))
	h = branch.UsePathBaseWith("/c#", branch.MapOptions{Literal: true})(show("main"))
	require.Equal(t, `main base="/C#" path="/x" raw="" exact=false`, getTarget(h, "/C%23/x"))
}

func TestWithPathBase(t *testing.T) {
	in := func(base string, h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			path, raw := r.URL.Path, r.URL.RawPath
			r2, err := branch.WithPathBase(r, base)
			require.NoError(t, err)
			h.ServeHTTP(w, r2)
			require.Equal(t, path+raw, r.URL.Path+r.URL.RawPath)
		})
	}
	for _, tt := range []struct {
		name   string
		h      http.Handler
		target string
		want   string
	}{
		{"outside any branch", in("/app", show("h")), "/x%2Fy", `h base="/app" path="/x/y" raw="/x%2Fy" exact=false`},
		{"two levels", in("/v/app", show("h")), "/x", `h base="/v/app" path="/x" raw="" exact=false`},
		{"slash at the end", in("/app/", show("h")), "/x", `h base="/app" path="/x" raw="" exact=false`},
		{"nothing", in("", show("h")), "/x", `h base="" path="/x" raw="" exact=false`},
		{"nothing but a slash", in("/", show("h")), "/x", `h base="" path="/x" raw="" exact=false`},
		{"in front of Map", in("/app", branch.Map("/a", show("a"))(show("main"))), "/a/x", `a base="/app/a" path="/x" raw="" exact=false`},
		{"in front of Map, unclean", in("/app", branch.Map("/a", show("a"))(show("main"))), "//a/x", `a base="/app/a" path="/x" raw="" exact=false`},
		{"in front of Map, exactly", in("/app", branch.Map("/a", show("a"))(show("main"))), "/a", `a base="/app/a" path="/" raw="" exact=true`},
		{"inside Map it is still in front", branch.Map("/a", in("/app", show("a")))(show("main")), "/a/x", `a base="/app/a" path="/x" raw="" exact=false`},
		{"inside Map, exactly", branch.Map("/a", in("/app", show("a")))(show("main")), "/a", `a base="/app/a" path="/" raw="" exact=true`},
		{"between Maps", branch.Map("/a", in("/app", branch.Map("/b", show("b"))(show("a"))))(show("main")), "/a/b/c", `b base="/app/a/b" path="/c" raw="" exact=false`},
		{"twice: the outer proxy's is asked last", in("/inner", in("/outer", show("h"))), "/x", `h base="/outer/inner" path="/x" raw="" exact=false`},
		{"unicode", in("/ä b", show("h")), "/x", `h base="/ä b" path="/x" raw="" exact=false`},
		{"special characters of a prefix are data", in("/{a}%20?#*", show("h")), "/x", `h base="/{a}%20?#*" path="/x" raw="" exact=false`},
	} {
		t.Run(tt.name, func(t *testing.T) { require.Equal(t, tt.want, getTarget(tt.h, tt.target)) })
	}
	r := httptest.NewRequest(http.MethodGet, "/x", nil)
	same, err := branch.WithPathBase(r, "/")
	require.NoError(t, err)
	require.Same(t, r, same)
	for base, want := range map[string]string{
		"app":               "must begin with one slash",
		"http://example/":   "must begin with one slash",
		"//evil.example":    "empty or dot segments",
		"//":                "empty or dot segments",
		"/app//":            "empty or dot segments",
		"/a/../b":           "empty or dot segments",
		"/.":                "empty or dot segments",
		"/./":               "empty or dot segments",
		`/\evil.example`:    "backslash",
		"/a\r\nSet-Cookie:": "control character",
		"/a\x00":            "control character",
	} {
		r2, err := branch.WithPathBase(r, base)
		require.ErrorContains(t, err, want, base)
		require.ErrorContains(t, err, "branch: the path base ", base)
		require.Nil(t, r2)
	}
}
