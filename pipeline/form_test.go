package pipeline_test

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/pipeline"
)

// net/http removes the files of a form that its own request has. The handlers get a copy of
// the request, whose files are removed too.
func TestUploadedFilesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TEMP", dir) // the name on Windows
	t.Setenv("TMP", dir)
	files := func() int {
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		return len(entries)
	}
	var during int
	h := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, _ *pipeline.Response, next http.Handler) {
		next.ServeHTTP(w, r)
	})(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		must(r.ParseMultipartForm(1)) // everything goes to files
		entries, err := os.ReadDir(dir)
		must(err)
		during = len(entries)
	}))
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", "big")
	require.NoError(t, err)
	_, err = part.Write(make([]byte, 11<<20)) // ten more megabytes may stay in memory
	require.NoError(t, err)
	require.NoError(t, form.Close())
	r := httptest.NewRequest(http.MethodPost, "/", &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	h.ServeHTTP(httptest.NewRecorder(), r)
	require.Equal(t, 1, during)
	require.Zero(t, files())
}
