package branch_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
)

// show answers with the path as a handler sees it.
func show(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s base=%q path=%q raw=%q exact=%v", name, branch.PathBase(r), r.URL.Path, r.URL.RawPath, branch.Exact(r))
	})
}

// getTarget sends a GET for target, unchanged, to the handler.
func getTarget(h http.Handler, target string) string {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Body.String()
}

var (
	nested = branch.Map("/a", branch.Map("/b", show("inner"))(show("outer")))(show("main"))
	deep   = branch.Map("/a/b", show("deep"))(show("main"))
)

// ambiguous is the answer to a request whose escaped slash decides.
const ambiguous = "400 Bad Request: an escaped slash would decide which component gets the request\n"

// FuzzMap uses these as seeds.
var mapTests = []struct {
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
	{"an escaped slash behind the prefix", nested, "/a%2Fx", ambiguous},
	{"only ASCII letters fold", branch.Map("/k", show("k"))(show("main")), "/%E2%84%AA", fmt.Sprintf(`main base="" path=%q raw="" exact=false`, "/\u212a")},
	{"unicode", branch.Map("/grüße", show("hi"))(show("main")), "/gr%C3%BC%C3%9Fe/x", `hi base="/grüße" path="/x" raw="" exact=false`},
	{"matched on the clean path: dots", nested, "/x/../a/b", `inner base="/a/b" path="/" raw="" exact=true`},
	{"matched on the clean path: slashes", nested, "//a//x", `outer base="/a" path="/x" raw="" exact=false`},
	{"unclean and elsewhere is left alone", nested, "/x/../y", `main base="" path="/x/../y" raw="" exact=false`},
	{"an escaped slash at the end", nested, "/a%2F", ambiguous},
	{"an escaped slash behind the prefix, more follow", nested, "/a%2fx%2Fy", ambiguous},
	{"an escaped slash between two prefixes", nested, "/a%2Fb/x%2Fy", ambiguous},
	{"escaped slashes all along", nested, "/%2Fa%2F%2Fb%2F", ambiguous},
	{"an escape that would not be needed is kept", nested, "/a/%78", `outer base="/a" path="/x" raw="/%78" exact=false`},
	{"an escape in the matched part only", nested, "/%61/x", `outer base="/a" path="/x" raw="" exact=false`},
	{"a semicolon is a character like others", nested, "/a;v=1/x", `main base="" path="/a;v=1/x" raw="" exact=false`},
	{"a percent sign", nested, "/a/100%25", `outer base="/a" path="/100%" raw="" exact=false`},
	{"escaped twice is decoded once", nested, "/a/%252e%252e/x", `outer base="/a" path="/%2e%2e/x" raw="" exact=false`},
	{"escaped twice does not match", nested, "/%2561", `main base="" path="/%61" raw="" exact=false`},
	{"invalid UTF-8 below", nested, "/a/%ff%FE", `outer base="/a" path="/\xff\xfe" raw="/%ff%FE" exact=false`},
	{"invalid UTF-8 is another segment", nested, "/a%ff", `main base="" path="/a\xff" raw="/a%ff" exact=false`},
	{"NUL below", nested, "/a/x%00", `outer base="/a" path="/x\x00" raw="" exact=false`},
	{"NUL ends nothing", nested, "/a%00/x", `main base="" path="/a\x00/x" raw="" exact=false`},
	{"a backslash is not a slash", nested, "/a%5Cx", `main base="" path="/a\\x" raw="" exact=false`},
	{"unicode below, in the request's escapes", nested, "/a/%c3%a4", `outer base="/a" path="/ä" raw="/%c3%a4" exact=false`},
	{"other letters than ASCII don't fold", branch.Map("/grüße", show("hi"))(show("main")), "/GR%C3%9CSSE", `main base="" path="/GRÜSSE" raw="" exact=false`},
	{"ASCII folds beside other letters", branch.Map("/grüße", show("hi"))(show("main")), "/GR%C3%BC%C3%9FE", `hi base="/GRüßE" path="/" raw="" exact=true`},
	{"a prefix with a space", branch.Map("/a b", show("ab"))(show("main")), "/a%20b/c%20d", `ab base="/a b" path="/c d" raw="" exact=false`},
	{"a prefix with dots", branch.Map("/...", show("dots"))(show("main")), "/.../..x", `dots base="/..." path="/..x" raw="" exact=false`},
	{"names that begin with dots are no dot segments", nested, "/a/.b/..c", `outer base="/a" path="/.b/..c" raw="" exact=false`},
	{"clean path: dots at the end", nested, "/a/x/..", `outer base="/a" path="/" raw="" exact=true`},
	{"clean path: out of the branch", nested, "/a/../x", `main base="" path="/a/../x" raw="" exact=false`},
	{"clean path: out by escaped dots", nested, "/a/%2e%2e/x", `main base="" path="/a/../x" raw="/a/%2e%2e/x" exact=false`},
	{"clean path: above the root", nested, "/../../a/b", `inner base="/a/b" path="/" raw="" exact=true`},
	{"clean path: escaped dots, escaped slashes", nested, "/x%2f..%2fa%2fy", ambiguous},
	{"clean path: dots inside of it", nested, "/a/x/../b/c", `inner base="/a/b" path="/c" raw="" exact=false`},
	{"deep, exactly", deep, "/A/B", `deep base="/A/B" path="/" raw="" exact=true`},
	{"deep, whole segments only", deep, "/a/bc", `main base="" path="/a/bc" raw="" exact=false`},
}

func TestMap(t *testing.T) {
	for _, tt := range mapTests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, getTarget(tt.h, tt.target))
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
	require.Equal(t, `inner base="/a/b" path="/rewritten" raw="" exact=false`, getTarget(h, "/a/x%2Fy"))
}

func TestPathBaseEndsWithTheBranch(t *testing.T) {
	after := ""
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		branch.Map("/a", show("a"))(show("main")).ServeHTTP(w, r)
		after = branch.PathBase(r) + "|" + r.URL.Path
	})
	getTarget(h, "/a/x")
	require.Equal(t, "|/a/x", after)
}

// Components in between derive contexts.
func TestPathBaseThroughOtherContexts(t *testing.T) {
	type key struct{}
	derive := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, "kept")))
		})
	}
	value := ""
	end := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		value, _ = r.Context().Value(key{}).(string)
		show("b").ServeHTTP(w, r)
	})
	h := derive(branch.Map("/a", derive(branch.Map("/b", derive(end))(show("a"))))(show("main")))
	require.Equal(t, `b base="/a/b" path="/x" raw="" exact=false`, getTarget(h, "/a/b/x"))
	require.Equal(t, "kept", value)
	h = derive(branch.Map("/a", end)(show("main")))
	getTarget(h, "/a/x")
	require.Equal(t, "kept", value, "a value from outside is visible inside")
}

// net/http removes the files of forms only for its own request.
func TestFormsOfABranchLeaveNoFiles(t *testing.T) {
	for _, panics := range []bool{false, true} {
		dir := t.TempDir()
		t.Setenv("TMPDIR", dir)
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		part, err := form.CreateFormFile("f", "f.bin")
		require.NoError(t, err)
		_, err = part.Write(make([]byte, 11<<20)) // more than ParseMultipartForm keeps in memory
		require.NoError(t, err)
		require.NoError(t, form.Close())
		r := httptest.NewRequest(http.MethodPost, "/a/up", &body)
		r.Header.Set("Content-Type", form.FormDataContentType())
		h := branch.Map("/a", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			require.NoError(t, r.ParseMultipartForm(1))
			files, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Len(t, files, 1)
			if panics {
				panic(http.ErrAbortHandler)
			}
		}))(http.NotFoundHandler())
		serve := func() { h.ServeHTTP(httptest.NewRecorder(), r) }
		if panics {
			require.Panics(t, serve)
		} else {
			serve()
		}
		files, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Empty(t, files)
	}
}

func TestUsePathBase(t *testing.T) {
	h := branch.UsePathBase("/app")(branch.Map("/a", show("a"))(show("main")))
	require.Equal(t, `a base="/app/a" path="/x" raw="" exact=false`, getTarget(h, "/app/a/x"))
	require.Equal(t, `main base="/app" path="/" raw="" exact=true`, getTarget(h, "/app"))
	require.Equal(t, `a base="/a" path="/x" raw="" exact=false`, getTarget(h, "/a/x"), "without the base it passes")
}

func TestConstructorsRefuseBadArguments(t *testing.T) {
	h := show("h")
	yes := func(*http.Request) bool { return true }
	for name, tt := range map[string]struct {
		want string
		f    func()
	}{
		"Map prefix":                   {`branch.Map: the prefix "a" must begin with a slash: "/a"`, func() { branch.Map("a", h) }},
		"Map handler":                  {"branch.Map: the handler is nil", func() { branch.Map("/a", nil) }},
		"Map next":                     {"branch.Map: the handler is nil", func() { branch.Map("/a", h)(nil) }},
		"MapWith prefix":               {`branch.MapWith: the prefix "a" must begin with a slash: "/a"`, func() { branch.MapWith("a", branch.MapOptions{}, h) }},
		"MapWith handler":              {"branch.MapWith: the handler is nil", func() { branch.MapWith("/a", branch.MapOptions{}, nil) }},
		"MapWith next":                 {"branch.MapWith: the handler is nil", func() { branch.MapWith("/a", branch.MapOptions{}, h)(nil) }},
		"PathWith":                     {`branch.PathWith: the prefix "a" must begin with a slash: "/a"`, func() { branch.PathWith("a", branch.MapOptions{}) }},
		"UsePathBase next":             {"branch.UsePathBase: the handler is nil", func() { branch.UsePathBase("/a")(nil) }},
		"UsePathBaseWith prefix":       {`branch.UsePathBaseWith: the prefix "a" must begin with a slash: "/a"`, func() { branch.UsePathBaseWith("a", branch.MapOptions{}) }},
		"UsePathBaseWith PreservePath": {"branch.UsePathBaseWith: PreservePath would make it do nothing", func() { branch.UsePathBaseWith("/a", branch.MapOptions{PreservePath: true}) }},
		"UsePathBaseWith next":         {"branch.UsePathBaseWith: the handler is nil", func() { branch.UsePathBaseWith("/a", branch.MapOptions{})(nil) }},
		"CleanPaths next":              {"branch.CleanPaths: the handler is nil", func() { branch.CleanPaths(nil) }},
		"UseWhen next":                 {"branch.UseWhen: the handler is nil", func() { branch.UseWhen(yes, branch.UsePathBase("/a"))(nil) }},
		"When next":                    {"branch.When: the handler is nil", func() { branch.When(yes, h)(nil) }},
		"When predicate":               {"branch.When: the predicate is nil", func() { branch.When(nil, h) }},
		"When handler":                 {"branch.When: the handler is nil", func() { branch.When(yes, nil) }},
		"UseWhen mw":                   {"branch.UseWhen: the middleware is nil", func() { branch.UseWhen(yes, nil) }},
		"UseWhen nil":                  {"branch.UseWhen: the middleware made a nil handler", func() { branch.UseWhen(yes, func(http.Handler) http.Handler { return nil })(h) }},
		"UsePathBase":                  {`branch.UsePathBase: the prefix is empty: it would match every request; add the components to the main line instead`, func() { branch.UsePathBase("") }},
		"And of nil":                   {"branch.And: the predicate is nil", func() { branch.And(yes, nil) }},
		"Or of nothing":                {"branch.Or: no arguments: it would never hold", func() { branch.Or() }},
		"Not of nil":                   {"branch.Not: the predicate is nil", func() { branch.Not(nil) }},
		"Method of none":               {"branch.Method: no arguments: it would never hold", func() { branch.Method() }},
		"Header no name":               {"branch.Header: the name is empty", func() { branch.Header("") }},
		"Path bad prefix":              {`branch.Path: the prefix "/a/" must not end with a slash: "/a" matches everything below it as well`, func() { branch.Path("/a/") }},
	} {
		t.Run(name, func(t *testing.T) { require.PanicsWithValue(t, tt.want, tt.f) })
	}
}

// Map works inside http.ServeMux and StripPrefix.
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
