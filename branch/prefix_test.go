package branch_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
)

// goodPrefixes are valid without options.
var goodPrefixes = []string{
	"/a", "/a/b", "/a b", "/ü", "/a.b", "/...", "/.well-known", "/v1/x:cancel", "/C*-algebra", "/100%", "/100%zz", "/a{b", "/a}b{",
	"/a;v=1", "/~me", "/@me", "/a+b", "/:", "/\xff", "/a\\b",
}

// oddPrefixes are refused only because they look like something else.
var oddPrefixes = []struct{ prefix, want string }{
	{"/users/{id}", `looks like a pattern ("{id}"), but is compared literally: give patterns to an http.ServeMux (middleware.Endpoints puts one into a pipeline), or map the part before it`},
	{"/{path...}", `looks like a pattern ("{path...}")`},
	{"/{$}", `looks like a pattern ("{$}")`},
	{"/a{b}c/d", `looks like a pattern ("a{b}c")`},
	{"/users/:id", `looks like a pattern (":id")`},
	{"/f/*", `looks like a pattern ("*")`},
	{"/f/*path", `looks like a pattern ("*path")`},
	{"/f*", `looks like a pattern ("f*")`},
	{"/f/**", `looks like a pattern ("**")`},
	{"/a%20b", `has a percent escape, but is compared with the decoded path: write "/a b"`},
	{"/%61%zz%C3%bc", `write "/a%zzü"`},
	{"/a?b", "has a query, which is not part of the path: choose by the query with branch.Query"},
	{"/a#?b", `has a fragment, which clients do not send: write "/a"`},
	{"/a\n", "has a control character"},
	{"/a\x7f", "has a control character"},
}

// badPrefixes could never match.
var badPrefixes = []struct{ prefix, want string }{
	{"", "empty"},
	{"/", "every request"},
	{"a", `must begin with a slash: "/a"`},
	{"example.com/a", `must begin with a slash`},
	{"GET /a", `has a method in front: write "/a", and choose by the method with branch.Method("GET")`},
	{"/a/", `must not end with a slash: "/a"`},
	{"/a//", `must not end with a slash: "/a"`},
	{"//", `must not end with a slash`},
	{"/a//b", `write "/a/b"`},
	{"//a", `write "/a"`},
	{"/a/../b", `write "/b"`},
	{"/./b", `write "/b"`},
	{"/b/.", `write "/b"`},
}

func TestCheckPrefix(t *testing.T) {
	literal := branch.MapOptions{Literal: true}
	for _, p := range goodPrefixes {
		require.NoError(t, branch.CheckPrefix(p), p)
		require.NoError(t, branch.CheckPrefixWith(p, literal), p)
	}
	for _, tt := range oddPrefixes {
		require.ErrorContains(t, branch.CheckPrefix(tt.prefix), tt.want, tt.prefix)
		require.ErrorContains(t, branch.CheckPrefix(tt.prefix), "; MapOptions.Literal accepts it", tt.prefix)
		require.NoError(t, branch.CheckPrefixWith(tt.prefix, literal), tt.prefix)
	}
	for _, tt := range badPrefixes {
		require.ErrorContains(t, branch.CheckPrefix(tt.prefix), tt.want, tt.prefix)
		require.ErrorContains(t, branch.CheckPrefixWith(tt.prefix, literal), tt.want, tt.prefix)
		require.NotContains(t, branch.CheckPrefix(tt.prefix).Error(), "Literal", "it would not help")
	}
}

// A pattern with a trailing slash is reported as a pattern.
func TestCheckPrefixNamesTheMistakeBehindTheMistake(t *testing.T) {
	require.ErrorContains(t, branch.CheckPrefix("/users/{id}/"), "looks like a pattern")
}

func TestCovers(t *testing.T) {
	for _, tt := range []struct {
		outer     string
		outerCase bool
		inner     string
		innerCase bool
		want      bool
	}{
		{"/a", false, "/a", false, true},
		{"/a", false, "/A/b", false, true},
		{"/a", false, "/ab", false, false},
		{"/a/b", false, "/a", false, false},
		{"/a", false, "/A/b", true, true},
		{"/a", true, "/a/b", true, true},
		{"/a", true, "/A/b", true, false},
		{"/a", true, "/a/b", false, false}, // /A/b is not covered
		{"/1", true, "/1/b", false, true},  // no letter that could differ in case
		{"/ü", true, "/ü", false, true},    // only ASCII letters fold
	} {
		outer, inner := branch.MapOptions{MatchCase: tt.outerCase}, branch.MapOptions{MatchCase: tt.innerCase, PreservePath: true}
		require.Equal(t, tt.want, branch.CoversWith(tt.outer, outer, tt.inner, inner), "%+v", tt)
		if !tt.outerCase && !tt.innerCase {
			require.Equal(t, tt.want, branch.Covers(tt.outer, tt.inner), "%+v", tt)
		}
	}
}

func TestIsClean(t *testing.T) {
	for p, want := range map[string]bool{
		"/": true, "/a": true, "/a/": true, "/.a": true, "/..a": true, "/a.": true, "/a..": true, "/...": true, "/a/.b/..c": true,
		"": false, "a": false, "*": false, "//": false, "/a//b": false, "/a//": false, "/.": false, "/..": false, "/a/.": false, "/a/..": false, "/./a": false, "/a/../b": false, "a/b": false,
	} {
		require.Equal(t, want, branch.IsClean(p), p)
	}
}
