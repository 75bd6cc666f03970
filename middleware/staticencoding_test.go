package middleware_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

// precompressed has variants whose content names their coding.
func precompressed(at time.Time) fstest.MapFS {
	files := fstest.MapFS{}
	for name, content := range map[string]string{
		"app.js": "plain js", "app.js.br": "br js", "app.js.zst": "zstd js", "app.js.gz": "gzip js",
		"a.css": "plain css", "a.css.gz": "gzip css",
		"alone.txt":  "plain",
		"only.js.br": "br without an original",
		"twice.gz":   "an archive", "twice.gz.br": "br of an archive",
		"dir/index.html": "plain page", "dir/index.html.br": "br page",
		"folder.txt": "plain", "folder.txt.gz/x": "x",
	} {
		files[name] = &fstest.MapFile{Data: []byte(content), ModTime: at}
	}
	return files
}

func TestStaticFilesPrecompressed(t *testing.T) {
	for name, at := range map[string]time.Time{"without times": {}, "with times": time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)} {
		h := pipeline.New().Use(middleware.ResponseTime, middleware.StaticFiles(middleware.StaticFilesOptions{FS: precompressed(at)})).MustBuild()
		t.Run(name, func(t *testing.T) {
			overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
				for _, tt := range []struct {
					target, accept string
					coding         string // "406" if refused
				}{
					{"/app.js", "gzip, deflate, br, zstd", "br"},
					{"/app.js", "gzip, deflate, zstd", "zstd"},
					{"/app.js", "gzip", "gzip"},
					{"/app.js", "GZip", "gzip"},
					{"/app.js", "x-gzip", "gzip"},
					{"/app.js", "br;q=0.5, gzip", "gzip"},
					{"/app.js", "br;q=0.5, gzip;q=0.6, zstd ; Q=0.7", "zstd"},
					{"/app.js", "br;q=0, gzip;q=0, zstd", "zstd"},
					{"/app.js", "br;q=0.000, gzip;q=0.001", "gzip"},
					{"/app.js", "*", "br"},
					{"/app.js", "*;q=0.5, gzip", "gzip"},
					{"/app.js", "br;q=0, *", "zstd"},
					{"/app.js", "identity, gzip;q=0.5", ""},
					{"/app.js", "identity;q=0.5, gzip;q=0.5", "gzip"},
					{"/app.js", "identity;q=0.1, br", "br"},
					{"/app.js", "", ""},
					{"/app.js", "identity", ""},
					{"/app.js", "deflate", ""},
					{"/app.js", "gzip;q=1.1", ""},
					{"/app.js", "gzip;level=9", ""},
					{"/app.js", "gzip q=1", ""},
					{"/app.js", "*;q=0, br", "br"},
					{"/app.js", "identity;q=0, br", "br"},
					{"/app.js", "*;q=0", "406"},
					{"/app.js", "identity;q=0", "406"},
					{"/app.js", "identity;q=0, deflate", "406"},
					{"/app.js", "*;q=0, identity", ""},
					{"/a.css", "br, identity;q=0", "406"},
					{"/a.css", "br", ""},
					{"/a.css", "br, gzip;q=0.1", "gzip"},
					{"/dir/", "gzip, br", "br"},
				} {
					res, body := fetch(t, srv, "GET", tt.target, "Accept-Encoding", tt.accept)
					require.Contains(t, strings.Join(res.Header.Values("Vary"), ", "), "Accept-Encoding", tt.accept)
					if tt.coding == "406" {
						require.Equal(t, 406, res.StatusCode, tt.accept)
						require.Empty(t, res.Header.Get("Content-Encoding"))
						continue
					}
					require.Equal(t, 200, res.StatusCode, tt.accept)
					require.Equal(t, tt.coding, res.Header.Get("Content-Encoding"), tt.accept)
					want := tt.coding
					if want == "" {
						want = "plain"
					}
					require.Equal(t, want, strings.Fields(body)[0], tt.accept)
					require.EqualValues(t, len(body), res.ContentLength)
				}

				types := map[string]string{"/app.js": "text/javascript; charset=utf-8", "/a.css": "text/css; charset=utf-8", "/dir/": "text/html; charset=utf-8"}
				for target, contentType := range types {
					etags := map[string]bool{}
					for _, coding := range []string{"br", "zstd", "gzip", "identity"} {
						res, body := fetch(t, srv, "GET", target, "Accept-Encoding", coding)
						require.Equal(t, contentType, res.Header.Get("Content-Type"))
						require.Equal(t, "bytes", res.Header.Get("Accept-Ranges"))
						encoded := res.Header.Get("Content-Encoding")
						etag := res.Header.Get("Etag")
						require.NotEmpty(t, etag)
						if encoded != "" || coding == "identity" {
							require.False(t, etags[etag], "each coding has an ETag of its own")
							etags[etag] = true
						}
						head, none := fetch(t, srv, "HEAD", target, "Accept-Encoding", coding)
						require.Empty(t, none)
						require.Equal(t, res.ContentLength, head.ContentLength)
						require.Equal(t, encoded, head.Header.Get("Content-Encoding"))
						require.Equal(t, etag, head.Header.Get("Etag"))

						same, _ := fetch(t, srv, "GET", target, "Accept-Encoding", coding, "If-None-Match", etag)
						require.Equal(t, 304, same.StatusCode)
						require.Equal(t, []string{"Accept-Encoding"}, same.Header.Values("Vary"))
						require.Empty(t, same.Header.Get("Content-Encoding"))

						part, partial := fetch(t, srv, "GET", target, "Accept-Encoding", coding, "Range", "bytes=1-3", "If-Range", etag)
						require.Equal(t, 206, part.StatusCode)
						require.Equal(t, body[1:4], partial, "of the encoded file")
						require.Equal(t, encoded, part.Header.Get("Content-Encoding"))
						many, all := fetch(t, srv, "GET", target, "Accept-Encoding", coding, "Range", "bytes=0-0,2-2")
						if encoded != "" {
							require.Equal(t, 200, many.StatusCode, "a multipart body is not encoded")
							require.Equal(t, body, all)
						}
						if encoded != "" {
							other, _ := fetch(t, srv, "GET", target, "Accept-Encoding", "identity", "If-None-Match", etag, "If-Range", etag, "Range", "bytes=0-0")
							require.Equal(t, 200, other.StatusCode, "the validators of one coding are not those of another")
						}
					}
				}

				for target, want := range map[string]string{
					"/alone.txt":   "plain",
					"/twice.gz":    "an archive",
					"/app.js.gz":   "gzip js",
					"/app.js.br":   "br js",
					"/folder.txt":  "plain",
					"/twice.gz.br": "br of an archive",
				} {
					res, body := fetch(t, srv, "GET", target, "Accept-Encoding", "gzip, br, zstd")
					require.Equal(t, want, body, target)
					require.Empty(t, res.Header.Get("Content-Encoding"), target)
					require.Empty(t, res.Header.Values("Vary"), target)
				}
				res, _ := fetch(t, srv, "GET", "/alone.txt", "Accept-Encoding", "identity;q=0")
				require.Equal(t, 200, res.StatusCode, "a component above may encode it")
				res, _ = fetch(t, srv, "GET", "/only.js", "Accept-Encoding", "br")
				require.Equal(t, 404, res.StatusCode)
			})
		})
	}
}

// A variant that is older than the file is one of an earlier version.
func TestStaticFilesOldVariants(t *testing.T) {
	made := time.Date(2026, 3, 4, 5, 6, 7, 123456789, time.UTC)
	for _, tt := range []struct {
		name    string
		variant time.Time
		hash    bool
		coding  string
	}{
		{"newer", made.Add(time.Hour), false, "gzip"},
		{"the same time", made, false, "gzip"},
		{"the same time in seconds", made.Truncate(time.Second), false, "gzip"},
		{"the same time in an archive", made.Truncate(2 * time.Second), false, "gzip"},
		{"older", made.Add(-time.Minute), false, ""},
		{"no time", time.Time{}, false, ""},
		{"times say nothing", made.Add(-time.Minute), true, "gzip"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := static(middleware.StaticFilesOptions{HashContent: tt.hash, FS: fstest.MapFS{"a.js": {ModTime: made}, "a.js.gz": {ModTime: tt.variant}}})
			require.Equal(t, tt.coding, requestFile(h, "GET", "/a.js", "Accept-Encoding", "gzip").Header().Get("Content-Encoding"))
		})
	}
}

// Nothing is encoded twice: neither above a component that encodes, nor if Header names the
// coding of stored files.
func TestStaticFilesNeverEncodesTwice(t *testing.T) {
	files := precompressed(time.Time{})
	above := pipeline.New().UseFunc(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		w.Header().Set("Content-Encoding", "gzip")
		zw := gzip.NewWriter(w)
		defer zw.Close()
		next.ServeHTTP(gzipWriter{w, zw}, r)
	}).Use(middleware.StaticFiles(middleware.StaticFilesOptions{FS: files})).MustBuild()
	overBothProtocols(t, above, func(t *testing.T, srv *httptest.Server) {
		res, body := fetch(t, srv, "GET", "/app.js", "Accept-Encoding", "gzip, br", "Range", "bytes=0-1")
		require.Equal(t, []string{"gzip"}, res.Header.Values("Content-Encoding"))
		require.Equal(t, 200, res.StatusCode)
		require.Empty(t, res.Header.Get("Accept-Ranges"))
		zr, err := gzip.NewReader(strings.NewReader(body))
		require.NoError(t, err)
		plain, err := io.ReadAll(zr)
		require.NoError(t, err)
		require.Equal(t, "plain js", string(plain))
	})

	// Files that are stored encoded under the name of the original, as in some object stores.
	var stored bytes.Buffer
	zw := gzip.NewWriter(&stored)
	_, err := zw.Write([]byte("stored"))
	require.NoError(t, err)
	require.NoError(t, zw.Close())
	files["stored.js"] = &fstest.MapFile{Data: stored.Bytes()}
	h := static(middleware.StaticFilesOptions{FS: files, Header: func(h http.Header, name string) {
		if name == "stored.js" {
			h.Set("Content-Encoding", "gzip")
		}
	}})
	overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
		for _, method := range []string{"GET", "HEAD"} {
			res, body := fetch(t, srv, method, "/stored.js", "Range", "bytes=0-1")
			require.Equal(t, 200, res.StatusCode)
			require.EqualValues(t, stored.Len(), res.ContentLength)
			require.Empty(t, res.Header.Get("Accept-Ranges"))
			require.Equal(t, "gzip", res.Header.Get("Content-Encoding"))
			require.Equal(t, method == "GET", body == stored.String())
			etag := res.Header.Get("Etag")
			res, _ = fetch(t, srv, method, "/stored.js", "If-None-Match", etag)
			require.Equal(t, 304, res.StatusCode)
		}
	})
}

type gzipWriter struct {
	http.ResponseWriter
	zw *gzip.Writer
}

func (w gzipWriter) Write(p []byte) (int, error) { return w.zw.Write(p) }

func TestStaticFilesNoPrecompressed(t *testing.T) {
	h := static(middleware.StaticFilesOptions{FS: precompressed(time.Time{}), NoPrecompressed: true})
	w := requestFile(h, "GET", "/app.js", "Accept-Encoding", "br, identity;q=0")
	require.Equal(t, "plain js", w.Body.String())
	require.Empty(t, w.Header().Get("Vary"))
}

// A variant that can't be opened is as good as none.
func TestStaticFilesUnreadableVariant(t *testing.T) {
	fsys := &opens{FS: precompressed(time.Time{}), fail: func(name string) error {
		if strings.HasSuffix(name, ".br") {
			return fs.ErrPermission
		}
		return nil
	}}
	h := static(middleware.StaticFilesOptions{FS: fsys})
	require.Equal(t, "zstd js", requestFile(h, "GET", "/app.js", "Accept-Encoding", "br, zstd").Body.String())
	require.Equal(t, "plain page", requestFile(h, "GET", "/dir/", "Accept-Encoding", "br").Body.String())
	require.Equal(t, 406, requestFile(h, "GET", "/dir/", "Accept-Encoding", "br, identity;q=0").Code)
}

// Variants on disk, whose names are those of the original in the options.
func TestStaticFilesPrecompressedOnDisk(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"app.js", "app.js.gz"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600))
	}
	var names []string
	h := static(middleware.StaticFilesOptions{FS: os.DirFS(dir), Header: func(_ http.Header, name string) { names = append(names, name) }})
	w := requestFile(h, "GET", "/app.js", "Accept-Encoding", "gzip")
	require.Equal(t, "app.js.gz", w.Body.String())
	require.NotEmpty(t, w.Header().Get("Last-Modified"))
	require.Equal(t, []string{"app.js"}, names)
}
