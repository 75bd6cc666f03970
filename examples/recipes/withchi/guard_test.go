package withchi_test

import (
	"io/fs"
	"net/http"
	"path"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/go-chi/chi/v5"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
	rt "github.com/speakingtube/speakingtube/examples/recipes/internal/recipetest"
	"github.com/speakingtube/speakingtube/examples/recipes/withchi"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

const secret = "the crown jewels"

// requireSecret requires the secret word.
func requireSecret(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "please" {
			http.Error(w, "guarded", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// admin is guarded content: served by routes, by wildcards and by files, so that any
// spelling that gets past the guard finds it.
func admin(router chi.Router, prefix string) {
	files := fstest.MapFS{
		strings.TrimPrefix(prefix+"/s", "/"):   {Data: []byte(secret)},
		strings.TrimPrefix(prefix+"/S", "/"):   {Data: []byte(secret)},
		"ADMIN/s":                              {Data: []byte(secret)},
		"Admin/s":                              {Data: []byte(secret)},
		strings.TrimPrefix(prefix+"/a/b", "/"): {Data: []byte(secret)},
		"public":                               {Data: []byte("public")},
	}
	router.Handle(prefix+"/s", rt.Text(secret))
	router.Handle(prefix+"/{x}", rt.Text(secret))
	router.HandleFunc("/{one}", func(w http.ResponseWriter, r *http.Request) { // "/admin%2fs" is one segment to chi
		if strings.HasPrefix(strings.ToLower(path.Clean("/"+r.URL.Path)), prefix+"/") {
			rt.Text(secret).ServeHTTP(w, r)
			return
		}
		http.FileServerFS(files).ServeHTTP(w, r)
	})
	router.Handle("/*", http.FileServerFS(foldedFS{files}))
}

// foldedFS ignores case, as many file systems do outside of Linux.
type foldedFS struct{ fs.FS }

func (f foldedFS) Open(name string) (fs.File, error) { return f.FS.Open(strings.ToLower(name)) }

// spellings are paths that at least some components read as /admin/s.
var spellings = []string{
	"/admin/s", "/admin/S", "/admin/a/b",
	"/ADMIN/s", "/Admin/s", "/aDmIn/s",
	"//admin/s", "///admin/s", "/admin//s", "//admin//s",
	"/./admin/s", "/admin/./s", "/././admin/s",
	"/x/../admin/s", "/x/y/../../admin/s", "/admin/x/../s", "/../admin/s", "/../../admin/s", "/x/..//admin/s",
	"/%2e/admin/s", "/%2E/admin/s", "/x/%2e%2e/admin/s", "/x/.%2e/admin/s", "/x/%2E./admin/s",
	"/x%2f..%2fadmin/s", "/x%2F..%2Fadmin/s", "/x%2f..%2fadmin%2fs", "/..%2fadmin/s", "/.%2fadmin/s",
	"/admin%2fs", "/admin%2Fs", "/%2fadmin/s", "/%2fadmin%2fs", "//%2fadmin/s",
	"/%61dmin/s", "/%61%64%6d%69%6e/s", "/%41DMIN/s", "/%61dmin%2fs", "/admin/%73",
	"/admin/s/", "/admin/s/.", "/admin/s/..", "/admin/s?x=/", "/admin/s;x=1", "/admin/s%00",
	`/x\..\admin\s`, `/x/..%5cadmin/s`, `/%5cadmin/s`,
	"http://example.com/admin/s", "http://example.com//admin/s", "http://example.com/x/../admin/s",
	"/admin%252fs", "/%252e/admin/s", "/x/%252e%252e/admin/s",
	"/admin/..%2fadmin/s", "/public/../admin/s", "/public%2f..%2fadmin/s",
}

func TestGuards(t *testing.T) {
	mainLine := func() http.Handler {
		r := chi.NewRouter()
		admin(r, "/admin")
		return r
	}
	for _, tt := range []struct {
		name  string
		build func() http.Handler
	}{
		{"Map, a router as the main line", func() http.Handler {
			return pipeline.New().
				Map("/admin", func(b *pipeline.Builder) {
					r := chi.NewRouter()
					r.Handle("/*", rt.Text(secret))
					b.Use(requireSecret).Run(withchi.Handler(r))
				}).
				Run(mainLine()).MustBuild()
		}},
		{"UseWhen, which continues with the router", func() http.Handler {
			return pipeline.New().
				UseWhen(branch.Path("/admin"), func(b *pipeline.Builder) { b.Use(requireSecret) }).
				Run(mainLine()).MustBuild()
		}},
		{"UseWhen, with Handler and other components", func() http.Handler {
			r := chi.NewRouter()
			admin(r, "/admin")
			return pipeline.New().
				Use(middleware.ResponseTime).
				UseWhen(branch.Path("/admin"), func(b *pipeline.Builder) { b.Use(requireSecret) }).
				Run(withchi.Handler(r)).MustBuild()
		}},
		{"in a branch of a branch", func() http.Handler {
			r := chi.NewRouter()
			admin(r, "/admin")
			inner := pipeline.New().UseWhen(branch.Path("/admin"), func(b *pipeline.Builder) { b.Use(requireSecret) }).Run(r).MustBuild()
			return pipeline.New().Map("/in", func(b *pipeline.Builder) { b.Run(inner) }).Run(inner).MustBuild()
		}},
		{"guarded in chi by branch, behind CleanPaths", func() http.Handler {
			r := chi.NewRouter()
			r.Use(branch.CleanPaths, branch.UseWhen(branch.Path("/admin"), requireSecret))
			admin(r, "/admin")
			return r
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := rt.Serve(t, tt.build(), false)
			require.Equal(t, "public", rt.Raw(t, srv, "/public").Text, "unguarded content is served")
			require.Equal(t, secret, rt.Raw(t, srv, "/admin/s", "Authorization", "please").Text, "guarded content is served with the key")
			for _, target := range spellings {
				for _, prefix := range []string{"", "/in"} {
					if prefix != "" && strings.HasPrefix(target, "http:") {
						continue
					}
					res := rt.Raw(t, srv, prefix+target)
					require.NotContains(t, res.Text, secret, "%s%s: %s", prefix, target, res.Status)
					// Follow the redirect that cleans the path: it must lead to the guard.
					if loc := res.Header.Get("Location"); loc != "" {
						require.True(t, strings.HasPrefix(loc, "/") && !strings.HasPrefix(loc, "//"), "%s leads to %s", target, loc)
						require.NotContains(t, rt.Raw(t, srv, loc).Text, secret, "%s by way of %s", target, loc)
					}
				}
			}
		})
	}
}

// The table is meaningful: without cleaning and without guards most of the spellings serve
// the secret, and a guard in chi's own tree is bypassed.
func TestTheSpellingsReachSomething(t *testing.T) {
	open := chi.NewRouter()
	admin(open, "/admin")
	srv := rt.Serve(t, open, false)
	reached := 0
	for _, target := range spellings {
		if rt.Raw(t, srv, target).Text == secret {
			reached++
		}
	}
	require.Greater(t, reached, len(spellings)/3)

	guarded := chi.NewRouter()
	guarded.Route("/admin", func(r chi.Router) { r.Use(requireSecret); r.Handle("/*", rt.Text(secret)) })
	guarded.Handle("/*", http.FileServerFS(foldedFS{fstest.MapFS{"admin/s": {Data: []byte(secret)}}}))
	srv = rt.Serve(t, guarded, false)
	require.Equal(t, "guarded\n", rt.Raw(t, srv, "/admin/s").Text)
	for _, target := range []string{"/ADMIN/s", "/x/../admin/s", "//admin/s", "/admin%2fs"} {
		require.Equal(t, secret, rt.Raw(t, srv, target).Text, target)
	}
}

// The misuse: chi compares an escape in a pattern with the escaped path, if the request has
// one, and with the decoded path otherwise. So such a route has a second name that is not
// below the guard's prefix.
func TestEscapesInPatterns(t *testing.T) {
	router := chi.NewRouter()
	router.Handle("/admin%2fs", rt.Text(secret))
	srv := rt.Serve(t, pipeline.New().
		UseWhen(branch.Path("/admin"), func(b *pipeline.Builder) { b.Use(requireSecret) }).
		Run(withchi.Handler(router)).MustBuild(), false)
	require.Contains(t, rt.Raw(t, srv, "/admin%2fs").Text, "400 Bad Request", "an escaped slash decides")
	require.Equal(t, secret, rt.Raw(t, srv, "/admin%252fs").Text)
}
