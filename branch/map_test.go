package branch_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
)

// show answers with what a handler sees of the path.
func show(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s base=%q path=%q raw=%q exact=%v", name, branch.PathBase(r), r.URL.Path, r.URL.RawPath, branch.Exact(r))
	})
}

// ask sends a GET for target, byte for byte, to the handler.
func ask(h http.Handler, target string) string {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Body.String()
}

func TestMap(t *testing.T) {
	nested := branch.Map("/a", branch.Map("/b", show("inner"))(show("outer")))(show("main"))
	deep := branch.Map("/a/b", show("deep"))(show("main"))
	for _, tt := range []struct {
		name   string
		h      http.Handler
		target string
		want   string
	}{
		{"below", nested, "/a/x", `outer base="/a" path="/x" raw="" exact=false`},
		{"exactly", nested, "/a", `outer base="/a" path="/" raw="" exact=true`},
		{"slash at the end", nested, "/a/", `outer base="/a" path="/" raw="" exact=false`},
		{"whole segments only", nested, "/ax", `main base="" path="/ax" raw="" exact=false`},
		{"elsewhere", nested, "/x/a", `main base="" path="/x/a" raw="" exact=false`},
		{"root", nested, "/", `main base="" path="/" raw="" exact=false`},
		{"the request's spelling is kept", nested, "/A/X", `outer base="/A" path="/X" raw="" exact=false`},
		{"nested", nested, "/a/b/c", `inner base="/a/b" path="/c" raw="" exact=false`},
		{"nested, exactly", nested, "/a/B", `inner base="/a/B" path="/" raw="" exact=true`},
		{"nested, slash at the end", nested, "/a/b/", `inner base="/a/b" path="/" raw="" exact=false`},
		{"nested, no match inside never falls back", nested, "/a/c", `outer base="/a" path="/c" raw="" exact=false`},
		{"two segments", deep, "/a/b/c", `deep base="/a/b" path="/c" raw="" exact=false`},
		{"one of two segments", deep, "/a", `main base="" path="/a" raw="" exact=false`},
		{"the escaped path follows", nested, "/a/x%2Fy/%7e", `outer base="/a" path="/x/y/~" raw="/x%2Fy/%7e" exact=false`},
		{"escapes in the matched part", nested, "/%61/x%2Fy", `outer base="/a" path="/x/y" raw="/x%2Fy" exact=false`},
		{"escapes that are the default need no raw path", nested, "/a/x%20y", `outer base="/a" path="/x y" raw="" exact=false`},
		{"an escaped slash ends a segment", nested, "/a%2Fx", `outer base="/a" path="/x" raw="" exact=false`},
		{"only ASCII letters fold", branch.Map("/k", show("k"))(show("main")), "/%E2%84%AA", fmt.Sprintf(`main base="" path=%q raw="" exact=false`, "/\u212a")},
		{"unicode", branch.Map("/grüße", show("hi"))(show("main")), "/gr%C3%BC%C3%9Fe/x", `hi base="/grüße" path="/x" raw="" exact=false`},
		{"matched on the clean path: dots", nested, "/x/../a/b", `inner base="/a/b" path="/" raw="" exact=true`},
		{"matched on the clean path: slashes", nested, "//a//x", `outer base="/a" path="/x" raw="" exact=false`},
		{"unclean and elsewhere is left alone", nested, "/x/../y", `main base="" path="/x/../y" raw="" exact=false`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, ask(tt.h, tt.target))
		})
	}
}

func TestMapLeavesTheRequestAlone(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/a/x%2Fy?q=1", nil)
	var inside *http.Request
	branch.Map("/a", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { inside = r }))(show("main")).
		ServeHTTP(httptest.NewRecorder(), r)
	require.Equal(t, "/a/x/y", r.URL.Path)
	require.Equal(t, "/a/x%2Fy", r.URL.RawPath)
	require.Empty(t, branch.PathBase(r))
	require.Equal(t, "/x%2Fy?q=1", inside.URL.String())
	require.Equal(t, "q=1", inside.URL.RawQuery)
}

func TestMapAfterAPathWasRewritten(t *testing.T) {
	rewrite := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			u := *r.URL
			u.Path = "/b/rewritten"
			r2 := *r
			r2.URL = &u
			next.ServeHTTP(w, &r2)
		})
	}
	h := branch.Map("/a", rewrite(branch.Map("/b", show("inner"))(show("outer"))))(show("main"))
	require.Equal(t, `inner base="/a/b" path="/rewritten" raw="" exact=false`, ask(h, "/a/x%2Fy"))
}

func TestPathBaseEndsWithTheBranch(t *testing.T) {
	after := ""
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		branch.Map("/a", show("a"))(show("main")).ServeHTTP(w, r)
		after = branch.PathBase(r) + "|" + r.URL.Path
	})
	ask(h, "/a/x")
	require.Equal(t, "|/a/x", after)
}

func TestUsePathBase(t *testing.T) {
	h := branch.UsePathBase("/app")(branch.Map("/a", show("a"))(show("main")))
	require.Equal(t, `a base="/app/a" path="/x" raw="" exact=false`, ask(h, "/app/a/x"))
	require.Equal(t, `main base="/app" path="/" raw="" exact=true`, ask(h, "/app"))
	require.Equal(t, `a base="/a" path="/x" raw="" exact=false`, ask(h, "/a/x"), "without the base it passes")
}

func TestWithPathBase(t *testing.T) {
	front := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			before := branch.PathBase(r)
			next.ServeHTTP(w, branch.WithPathBase(r, "/front"))
			require.Equal(t, before, branch.PathBase(r), "the request is not changed")
		})
	}
	h := front(branch.Map("/a", front(branch.Map("/b", show("b"))(show("a"))))(show("main")))
	require.Equal(t, `main base="/front" path="/x" raw="" exact=false`, ask(h, "/x"))
	require.Equal(t, `a base="/front/front/a" path="/x/y" raw="/x%2Fy" exact=false`, ask(h, "/a/x%2Fy"))
	require.Equal(t, `a base="/front/front/a" path="/" raw="" exact=true`, ask(h, "/a"))
	require.Equal(t, `b base="/front/front/a/b" path="/c" raw="" exact=false`, ask(h, "/a/b/c"))
}

func TestCheckPrefix(t *testing.T) {
	for _, ok := range []string{"/a", "/a/b", "/a b", "/ü", "/a.b", "/...", "/.well-known"} {
		require.NoError(t, branch.CheckPrefix(ok), ok)
	}
	for _, tt := range []struct{ prefix, want string }{
		{"", "empty"},
		{"/", "every request"},
		{"a", `must begin with a slash: "/a"`},
		{"/a/", `must not end with a slash: "/a"`},
		{"/a//b", `write "/a/b"`},
		{"/a/../b", `write "/b"`},
		{"/./b", `write "/b"`},
	} {
		require.ErrorContains(t, branch.CheckPrefix(tt.prefix), tt.want, tt.prefix)
	}
}

func TestConstructorsRefuseBadArguments(t *testing.T) {
	h := show("h")
	yes := func(*http.Request) bool { return true }
	for name, tt := range map[string]struct {
		want string
		f    func()
	}{
		"Map prefix":      {`branch.Map: the prefix "a" must begin with a slash: "/a"`, func() { branch.Map("a", h) }},
		"Map handler":     {"branch.Map: the handler is nil", func() { branch.Map("/a", nil) }},
		"Map next":        {"branch.Map: the handler is nil", func() { branch.Map("/a", h)(nil) }},
		"When predicate":  {"branch.When: the predicate is nil", func() { branch.When(nil, h) }},
		"When handler":    {"branch.When: the handler is nil", func() { branch.When(yes, nil) }},
		"UseWhen mw":      {"branch.UseWhen: the middleware is nil", func() { branch.UseWhen(yes, nil) }},
		"UseWhen nil":     {"branch.UseWhen: the middleware made a nil handler", func() { branch.UseWhen(yes, func(http.Handler) http.Handler { return nil })(h) }},
		"UsePathBase":     {`branch.UsePathBase: the prefix is empty: it would match every request; add the components to the main line instead`, func() { branch.UsePathBase("") }},
		"WithPathBase":    {`branch.WithPathBase: the prefix "a" must begin with a slash: "/a"`, func() { branch.WithPathBase(httptest.NewRequest("GET", "/", nil), "a") }},
		"And of nil":      {"branch.And: the predicate is nil", func() { branch.And(yes, nil) }},
		"Or of nothing":   {"branch.Or: nothing given: it would never hold", func() { branch.Or() }},
		"Not of nil":      {"branch.Not: the predicate is nil", func() { branch.Not(nil) }},
		"Method of none":  {"branch.Method: nothing given: it would never hold", func() { branch.Method() }},
		"Header no name":  {"branch.Header: the name is empty", func() { branch.Header("") }},
		"Path bad prefix": {`branch.Path: the prefix "/a/" must not end with a slash: "/a" matches everything below it as well`, func() { branch.Path("/a/") }},
	} {
		t.Run(name, func(t *testing.T) { require.PanicsWithValue(t, tt.want, tt.f) })
	}
}

// One at a time works elsewhere: a branch inside http.ServeMux and StripPrefix.
func TestWithServeMux(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("/mux/", http.StripPrefix("/mux", branch.Map("/a", show("a"))(show("main"))))
	srv := httptest.NewServer(mux)
	defer srv.Close()
	res, err := srv.Client().Get(srv.URL + "/mux/a/x%2Fy")
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, `a base="/a" path="/x/y" raw="/x%2Fy" exact=false`, string(body))
}

// FuzzMap holds the invariants of a match against a plain reading of the rules.
func FuzzMap(f *testing.F) {
	for _, p := range []string{"/", "/a", "/a/", "/A/b", "/a%2Fb", "/%61", "/a/%2e%2e/b", "//a", "/ax", "/a/b%2f", "/a;b", "/a%", "/ä", "/a/%C3%A4"} {
		f.Add(p, "/a")
		f.Add(p, "/a/b")
	}
	f.Fuzz(func(t *testing.T, target, prefix string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Host != "" || u.Scheme != "" || branch.CheckPrefix(prefix) != nil {
			return // no request has this path, no Map this prefix
		}
		r := &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}}
		original := u.Path
		var inside *http.Request
		missed := false
		branch.Map(prefix, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { inside = r }))(
			http.HandlerFunc(func(http.ResponseWriter, *http.Request) { missed = true })).ServeHTTP(httptest.NewRecorder(), r)
		require.NotEqual(t, missed, inside != nil, "one of the two handlers answers")
		require.Equal(t, original, r.URL.Path, "the request is not changed")
		require.Equal(t, inside != nil, branch.Path(prefix)(r), "Path agrees with Map")
		if inside == nil {
			if branch.IsClean(original) {
				require.False(t, len(original) == len(prefix) && strings.EqualFold(original, prefix) && isASCII(original))
			}
			return
		}
		base, path := branch.PathBase(inside), inside.URL.Path
		require.Len(t, base, len(prefix))
		require.True(t, strings.HasPrefix(path, "/"))
		if branch.IsClean(original) {
			if branch.Exact(inside) {
				require.Equal(t, original+"/", base+path)
			} else {
				require.Equal(t, original, base+path)
			}
		}
		if raw := inside.URL.RawPath; raw != "" {
			if u.EscapedPath() == u.RawPath {
				require.Equal(t, raw, inside.URL.EscapedPath(), "RawPath is an encoding of Path")
			}
			require.True(t, strings.HasSuffix(u.RawPath, raw))
		}
	})
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0
}
