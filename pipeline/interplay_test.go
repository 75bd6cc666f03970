package pipeline_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

// answerPathAndRoute answers with the path and the route as the handler sees them.
func answerPathAndRoute(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s + %s, id %q, pattern %q", branch.PathBase(r), r.URL.EscapedPath(), r.PathValue("id"), r.Pattern)
}

// fetch sends one GET over real HTTP/1.1 without following redirects, and returns the
// status and the body or the redirect's location.
func fetch(t *testing.T, h http.Handler, target string) string {
	t.Helper()
	srv := httptest.NewServer(h)
	defer srv.Close()
	client := *srv.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Get(srv.URL + target)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	if to := res.Header.Get("Location"); to != "" {
		return fmt.Sprint(res.StatusCode, " ", to)
	}
	return fmt.Sprint(res.StatusCode, " ", string(body))
}

// router returns a ServeMux with a subtree, a wildcard and an exact root below base.
func router(base string) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+base+"/items/{id}", answerPathAndRoute)
	mux.HandleFunc(base+"/tree/", answerPathAndRoute)
	mux.HandleFunc(base+"/{$}", answerPathAndRoute)
	return mux
}

func TestServeMuxInABranch(t *testing.T) {
	var keep = branch.MapOptions{PreservePath: true}
	moved := pipeline.New().Mount("/api", router("")).MustBuild()
	kept := pipeline.New().MountWith("/api", keep, router("/api")).MustBuild()
	deep := pipeline.New().Map("/v1", func(b *pipeline.Builder) { b.Mount("/api", router("")) }).MustBuild()
	deepKept := pipeline.New().Map("/v1", func(b *pipeline.Builder) { b.MountWith("/api", keep, router("/api")) }).MustBuild()
	for _, tt := range []struct {
		name   string
		h      http.Handler
		target string
		want   string
	}{
		{"path value", moved, "/api/items/a%2Fb", `200 /api + /items/a%2Fb, id "a/b", pattern "GET /items/{id}"`},
		{"path value, prefix in another case", moved, "/API/items/7", `200 /API + /items/7, id "7", pattern "GET /items/{id}"`},
		{"subtree", moved, "/api/tree/x", `200 /api + /tree/x, id "", pattern "/tree/"`},
		{"exact match is the root", moved, "/api", `200 /api + /, id "", pattern "/{$}"`},
		{"root", moved, "/api/", `200 /api + /, id "", pattern "/{$}"`},
		{"the mux's 404", moved, "/api/nothing", "404 404 page not found\n"},
		{"no way around the branch", moved, "/items/7", "404 404 page not found\n"},
		{"nested", deep, "/v1/api/items/7", `200 /v1/api + /items/7, id "7", pattern "GET /items/{id}"`},

		{"the mux's redirect loses the PathBase", moved, "/api/tree", "307 /tree/"},
		{"the mux's redirect loses it, nested", deep, "/v1/api/tree", "307 /tree/"},
		{"remedy: full patterns", kept, "/api/tree", "307 /api/tree/"},
		{"remedy: full patterns, path value", kept, "/api/items/7", `200  + /api/items/7, id "7", pattern "GET /api/items/{id}"`},
		{"remedy: full patterns, an exact match is not the root", kept, "/api", "307 /api/"},
		{"the remedy reaches as far as the path is kept", deepKept, "/v1/api/tree", "307 /api/tree/"},
		{"clean-path redirects are right, the pipeline makes them", moved, "/api//tree/./x", "307 /api/tree/x"},
	} {
		t.Run(tt.name, func(t *testing.T) { require.Equal(t, tt.want, fetch(t, tt.h, tt.target)) })
	}

	t.Run("the clean-path redirect of a mux without a pipeline", func(t *testing.T) {
		// Map passes the clean path on, so the mux has nothing to clean.
		h := branch.Map("/api", router(""))(http.NotFoundHandler())
		require.Equal(t, `200 /api + /tree/x, id "", pattern "/tree/"`, fetch(t, h, "/api//tree/./x"))
	})
}

func TestBranchInAServeMux(t *testing.T) {
	app := func() *pipeline.Builder {
		return pipeline.New().Mount("/a", http.HandlerFunc(answerPathAndRoute)).Run(http.HandlerFunc(answerPathAndRoute))
	}
	mux := http.NewServeMux()
	mux.Handle("/app/", branch.UsePathBase("/app")(app().MustBuild()))
	mux.Handle("/strip/", http.StripPrefix("/strip", app().MustBuild()))
	mux.Handle("/strip", http.StripPrefix("/strip", app().MustBuild()))
	mux.Handle("/t/{id}/", pipeline.New().Use(branch.UsePathBase("/t/acme")).Run(http.HandlerFunc(answerPathAndRoute)).MustBuild())
	mux.Handle("/full/", pipeline.New().Mount("/full/a", http.HandlerFunc(answerPathAndRoute)).Run(http.HandlerFunc(answerPathAndRoute)).MustBuild())
	for _, tt := range []struct{ name, target, want string }{
		{"UsePathBase", "/app/a/x", `200 /app/a + /x, id "", pattern "/app/"`},
		{"UsePathBase, main line", "/app/b", `200 /app + /b, id "", pattern "/app/"`},
		{"StripPrefix: PathBase does not include it", "/strip/a/x%2Fy", `200 /a + /x%2Fy, id "", pattern "/strip/"`},
		{"StripPrefix that leaves nothing", "/strip", `200  + /, id "", pattern "/strip"`},
		{"path values survive", "/t/acme/x", `200 /t/acme + /x, id "acme", pattern "/t/{id}/"`},
		{"full prefixes in a subtree", "/full/a/x", `200 /full/a + /x, id "", pattern "/full/"`},
		{"full prefixes in a subtree, main line", "/full/b", `200  + /full/b, id "", pattern "/full/"`},
		{"the mux cleans first", "/app//a/x", "307 /app/a/x"},
		{"escaped dots are cleaned by UsePathBase", "/app/x/%2e%2e/a/x", `200 /app/a + /x, id "", pattern "/app/"`},
		{"escaped dots are left to the pipeline", "/full/x/%2e%2e/a/x", "307 /full/a/x"},
		{"escaped dots behind StripPrefix: the redirect lacks the prefix", "/strip/x/%2e%2e/a/x", "307 /a/x"},
	} {
		t.Run(tt.name, func(t *testing.T) { require.Equal(t, tt.want, fetch(t, mux, tt.target)) })
	}
}

// The pattern of a mux around the pipeline is visible inside; the pattern found inside is
// then visible around it, in full.
func TestPatternsThroughAPipeline(t *testing.T) {
	app := pipeline.New().Use(branch.UsePathBase("/app"))
	app.Map("/v1", func(b *pipeline.Builder) { b.Mount("/api", router("")) })
	mux := http.NewServeMux()
	mux.Handle("/app/", app.MustBuild())
	for target, want := range map[string]string{
		"/app/v1/api/items/7": "GET /app/v1/api/items/{id}",
		"/APP/v1/api/items/7": "", // the mux matches case
		"/app/V1/API/items/7": "GET /app/v1/api/items/{id}",
		"/app/v1/api":         "/app/v1/api/{$}",
		"/app/v1/nothing":     "/app/",
	} {
		r := httptest.NewRequest(http.MethodGet, target, nil)
		mux.ServeHTTP(httptest.NewRecorder(), r)
		require.Equal(t, want, r.Pattern, target)
	}
}

func TestFileServersInABranch(t *testing.T) {
	files := fstest.MapFS{
		"index.html": {Data: []byte("root")}, "f": {Data: []byte("f")}, "d/index.html": {Data: []byte("d")}, "a b/ä": {Data: []byte("odd")},
	}
	h := pipeline.New().
		Mount("/std", http.FileServerFS(files)).
		Map("/ours", func(b *pipeline.Builder) { b.Use(middleware.StaticFiles(middleware.StaticFilesOptions{FS: files})) }).
		Map("/strip", func(b *pipeline.Builder) { b.Run(http.StripPrefix("/v1", http.FileServerFS(files))) }).
		MountWith("/kept", branch.MapOptions{PreservePath: true}, http.StripPrefix("/kept", http.FileServerFS(files))).
		MustBuild()
	for _, tt := range []struct{ name, target, want string }{
		{"file", "/std/f", "200 f"},
		{"names with odd characters", "/std/a%20b/%C3%A4", "200 odd"},
		{"folder: a relative redirect", "/std/d", "301 d/"},
		{"index: a relative redirect", "/std/d/index.html", "301 ./"},
		{"a file is not a folder: a relative redirect", "/std/f/", "301 ../f"},
		{"root", "/std/", "200 root"},
		{"exact match: the root, without the slash that its links need", "/std", "200 root"},
		{"ours: exact match", "/ours", "307 /ours/"},
		{"ours: folder", "/ours/d", "307 /ours/d/"},
		{"ours: file", "/ours/f", "200 f"},
		{"StripPrefix inside", "/strip/v1/f", "200 f"},
		{"StripPrefix inside that does not match", "/strip/f", "404 404 page not found\n"},
		{"StripPrefix over a kept path", "/kept/f", "200 f"},
		{"StripPrefix matches case, Map does not", "/KEPT/f", "404 404 page not found\n"},
	} {
		t.Run(tt.name, func(t *testing.T) { require.Equal(t, tt.want, fetch(t, h, tt.target)) })
	}
}

// Links made at any depth lead back to the place where they were made.
func TestLinksLeadBack(t *testing.T) {
	link := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/there" {
			answerPathAndRoute(w, r)
			return
		}
		branch.Redirect(w, r, "/there?q=1", http.StatusSeeOther)
	})
	app := pipeline.New().Use(branch.UsePathBase("/ä pp"))
	app.Map("/v1", func(b *pipeline.Builder) {
		b.UseWhen(branch.Query("beta"), func(b *pipeline.Builder) { b.Mount("/beta", link) })
		b.Mount("/api", link)
	})
	app.Run(link)
	h := app.MustBuild()
	for target, want := range map[string]string{
		"/":                            "303 /there?q=1",
		"/%C3%A4%20pp":                 "303 /%C3%A4%20pp/there?q=1",
		"/%C3%A4%20pp/v1/api/x":        "303 /%C3%A4%20pp/v1/api/there?q=1",
		"/v1/api":                      "303 /v1/api/there?q=1",
		"/v1/beta/x?beta":              "303 /v1/beta/there?q=1",
		"/%C3%A4%20pp/v1/api/there":    `200 /ä pp/v1/api + /there, id "", pattern ""`,
		"/%C3%A4%20pp/v1/x":            "404 404 page not found\n",
		"/%C3%A4%20pp/v1/api%2Fthere/": "400 " + ambiguous,
		"/%C3%A4%20pp/v1/api/%2Fthere": "303 /%C3%A4%20pp/v1/api/there?q=1",
	} {
		require.Equal(t, want, fetch(t, h, target), target)
	}
}
