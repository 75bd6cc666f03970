package compression_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	rt "github.com/speakingtube/speakingtube/examples/recipes/internal/recipetest"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

// Precompressed files pass unchanged, and the other codings are made of the file itself.
func TestPrecompressedFiles(t *testing.T) {
	files := middleware.StaticFiles(middleware.StaticFilesOptions{FS: fstest.MapFS{"a.txt": {Data: []byte(long)}, "a.txt.br": {Data: []byte("made at build time")}}})
	service := func() http.Handler { return pipeline.New().Use(compress, files).MustBuild() }
	rt.Both(t, service, func(t *testing.T, srv *httptest.Server) {
		res := rt.Do(t, srv, "GET", "/a.txt", "Accept-Encoding", "gzip, br")
		require.Equal(t, []string{"br"}, res.Header.Values("Content-Encoding"))
		require.Equal(t, "made at build time", res.Text)
		require.Contains(t, res.Header.Values("Vary"), "Accept-Encoding")
		etag := res.Header.Get("Etag")
		require.Equal(t, 304, rt.Do(t, srv, "GET", "/a.txt", "Accept-Encoding", "gzip, br", "If-None-Match", etag).StatusCode)

		for _, accept := range []string{"gzip", "zstd", "identity", "br;q=0, gzip"} {
			res := rt.Do(t, srv, "GET", "/a.txt", "Accept-Encoding", accept)
			require.Equal(t, long, decoded(t, res), accept)
			require.LessOrEqual(t, len(res.Header.Values("Content-Encoding")), 1)
			require.NotEqual(t, etag, res.Header.Get("Etag"))
		}
	})
}
