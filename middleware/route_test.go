package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

// The files of a site have one route, and a path without a file has none.
func TestRouteOfStaticFiles(t *testing.T) {
	files := middleware.StaticFiles(middleware.StaticFilesOptions{FS: fstest.MapFS{
		"a.txt":             {Data: []byte("a")},
		"folder/index.html": {Data: []byte("<p>")},
	}})
	seen := ""
	h := pipeline.New().
		Use(pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
			next.ServeHTTP(w, r)
			seen = res.Route()
		})).
		Map("/assets", func(b *pipeline.Builder) { b.Use(files) }).
		Use(files).MustBuild()
	for _, tt := range []struct{ name, target, header, route string }{
		{"a file", "/a.txt", "", "/{file...}"},
		{"a part of it", "/a.txt", "bytes=0-0", "/{file...}"},
		{"a part that it lacks", "/a.txt", "bytes=7-", "/{file...}"},
		{"the redirect of a folder", "/folder", "", "/{file...}"},
		{"an index", "/folder/", "", "/{file...}"},
		{"no file", "/b.txt", "", ""},
		{"a file in a branch", "/Assets/a.txt", "", "/assets/{file...}"},
		{"no file in a branch", "/assets/b.txt", "", "/assets"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, tt.target, nil)
			if tt.header != "" {
				r.Header.Set("Range", tt.header)
			}
			h.ServeHTTP(httptest.NewRecorder(), r)
			require.Equal(t, tt.route, seen)
		})
	}
}
