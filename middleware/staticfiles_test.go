package middleware_test

import (
	"archive/zip"
	"bytes"
	"embed"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

//go:embed developererrorpage.css developererrorpage.html
var embedded embed.FS

// static serves files in front of text("next").
func static(opts middleware.StaticFilesOptions) http.Handler {
	return middleware.StaticFiles(opts)(text("next"))
}

// requestFile requests a file from a handler. header has names and values.
func requestFile(h http.Handler, method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return serveHandler(h, r)
}

// Files without times have validators too, also behind fs.Sub.
func TestStaticFilesValidators(t *testing.T) {
	dir := t.TempDir()
	text, err := embedded.ReadFile("developererrorpage.css")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "developererrorpage.css"), text, 0o600))
	sub, err := fs.Sub(fstest.MapFS{"a/developererrorpage.css": {Data: text}}, "a")
	require.NoError(t, err)
	var zipped bytes.Buffer
	zw := zip.NewWriter(&zipped)
	w, err := zw.CreateHeader(&zip.FileHeader{Name: "developererrorpage.css", Method: zip.Deflate})
	require.NoError(t, err)
	_, err = w.Write(text)
	require.NoError(t, err)
	require.NoError(t, zw.Close())
	archive, err := zip.NewReader(bytes.NewReader(zipped.Bytes()), int64(zipped.Len()))
	require.NoError(t, err)

	for name, fsys := range map[string]fs.FS{"embed": embedded, "Sub": sub, "disk": os.DirFS(dir), "zip, whose files can't seek": archive} {
		t.Run(name, func(t *testing.T) {
			const target = "/developererrorpage.css"
			h := static(middleware.StaticFilesOptions{FS: fsys})
			whole := requestFile(h, "GET", target)
			require.Equal(t, 200, whole.Code)
			require.Equal(t, string(text), whole.Body.String())
			require.Equal(t, "nosniff", whole.Header().Get("X-Content-Type-Options"))
			require.Equal(t, "text/css; charset=utf-8", whole.Header().Get("Content-Type"))
			etag := whole.Header().Get("Etag")
			require.Regexp(t, `^"[\w-]{8,}"$`, etag, "strong")
			require.Equal(t, etag, requestFile(h, "GET", target).Header().Get("Etag"))
			require.Equal(t, name == "disk", whole.Header().Get("Last-Modified") != "", "the time tells versions apart")

			head := requestFile(h, "HEAD", target)
			require.Equal(t, whole.Header().Get("Content-Length"), head.Header().Get("Content-Length"))
			require.Empty(t, head.Body.String())

			for _, tt := range []struct {
				name   string
				header []string
				status int
				body   string
			}{
				{"known", []string{"If-None-Match", `"x", ` + etag}, 304, ""},
				{"weakly known", []string{"If-None-Match", "W/" + etag}, 304, ""},
				{"any", []string{"If-None-Match", "*"}, 304, ""},
				{"unknown", []string{"If-None-Match", `"x"`}, 200, string(text)},
				{"must be another", []string{"If-Match", `"x"`}, 412, ""},
				{"range", []string{"Range", "bytes=5-9"}, 206, string(text[5:10])},
				{"suffix", []string{"Range", "bytes=-7"}, 206, string(text[len(text)-7:])},
				{"range of the known file", []string{"Range", "bytes=5-9", "If-Range", etag}, 206, string(text[5:10])},
				{"range of a changed file", []string{"Range", "bytes=5-9", "If-Range", `"x"`}, 200, string(text)},
				{"range beyond", []string{"Range", "bytes=9999999-"}, 416, "invalid range: failed to overlap\n"},
			} {
				got := requestFile(h, "GET", target, tt.header...)
				require.Equal(t, tt.status, got.Code, tt.name)
				require.Equal(t, tt.body, got.Body.String(), tt.name)
			}

			// Ranges in reverse order work too, except where each would read the file again.
			many := requestFile(h, "GET", target, "Range", "bytes=20-24,0-4,10-")
			if fsys == archive {
				require.Equal(t, 200, many.Code)
				require.Equal(t, string(text), many.Body.String())
				return
			}
			require.Equal(t, 206, many.Code)
			kind, params, err := mime.ParseMediaType(many.Header().Get("Content-Type"))
			require.NoError(t, err)
			require.Equal(t, "multipart/byteranges", kind)
			mr := multipart.NewReader(many.Body, params["boundary"])
			for _, want := range [][]byte{text[20:25], text[:5], text[10:]} {
				part, err := mr.NextPart()
				require.NoError(t, err)
				got, err := io.ReadAll(part)
				require.NoError(t, err)
				require.Equal(t, string(want), string(got))
			}
		})
	}
}

// An ETag changes with the file, and its time has nanoseconds.
func TestStaticFilesETagChanges(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.txt")
	h := static(middleware.StaticFilesOptions{FS: os.DirFS(dir)})
	seen := map[string]bool{}
	for i, size := range []int{1, 1, 2} {
		require.NoError(t, os.WriteFile(file, make([]byte, size), 0o600))
		at := time.Unix(1e9, int64(i*1000))
		require.NoError(t, os.Chtimes(file, at, at))
		etag := requestFile(h, "GET", "/a.txt").Header().Get("Etag")
		require.NotEmpty(t, etag)
		require.False(t, seen[etag])
		seen[etag] = true
	}
	mem := fstest.MapFS{"a.txt": {Data: []byte("a")}}
	h = static(middleware.StaticFilesOptions{FS: mem})
	first := requestFile(h, "GET", "/a.txt").Header().Get("Etag")
	mem["a.txt"] = &fstest.MapFile{Data: []byte("bb")}
	require.NotEqual(t, first, requestFile(h, "GET", "/a.txt").Header().Get("Etag"), "another size is noticed")
}

// opens counts the calls of Open, and can make them fail.
type opens struct {
	fs.FS
	n, read atomic.Int64 // files, bytes
	fail    func(name string) error
	forward bool // files can't seek
}

// openFile counts the bytes that are read.
type openFile struct {
	fs.File
	read *atomic.Int64
}

func (f openFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	f.read.Add(int64(n))
	return n, err
}

// seekableFile is an openFile that can seek.
type seekableFile struct {
	openFile
	io.Seeker
}

func (o *opens) Open(name string) (fs.File, error) {
	o.n.Add(1)
	if o.fail != nil {
		if err := o.fail(name); err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
	}
	f, err := o.FS.Open(name)
	if err != nil {
		return nil, err
	}
	counted := openFile{f, &o.read}
	if seeker, ok := f.(io.Seeker); ok && !o.forward {
		return seekableFile{counted, seeker}, nil
	}
	return counted, nil
}

// Stat does not open.
func (o *opens) Stat(name string) (fs.FileInfo, error) { return fs.Stat(o.FS, name) }

// A file without a time is hashed once, for any number of concurrent requests.
func TestStaticFilesHashesOnce(t *testing.T) {
	fsys := &opens{FS: fstest.MapFS{"a.txt": {Data: bytes.Repeat([]byte("x"), 1<<20)}}}
	h := static(middleware.StaticFilesOptions{FS: fsys})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { requestFile(h, "HEAD", "/a.txt") })
	}
	wg.Wait()
	require.EqualValues(t, 20, fsys.n.Load(), "one for each request")
	read := fsys.read.Load()
	require.Positive(t, read)
	requestFile(h, "HEAD", "/a.txt")
	require.Equal(t, read, fsys.read.Load(), "the content is not read again")
	require.Less(t, read, int64(2<<20), "the content was read once")
}

// Files that exist when they are checked, and not when they are opened.
func TestStaticFilesThatCannotBeOpened(t *testing.T) {
	for _, tt := range []struct {
		name   string
		err    error
		status int
		body   string
	}{
		{"vanished", fs.ErrNotExist, 200, "next"},
		{"forbidden", fs.ErrPermission, 200, "next"},
		{"no descriptors left", errors.New("too many open files"), 500, `{"type":"about:blank","title":"Internal Server Error","status":500}` + "\n"},
	} {
		for _, second := range []bool{false, true} { // at the file, or at its hash
			t.Run(tt.name, func(t *testing.T) {
				n := 0
				fsys := &opens{FS: fstest.MapFS{"a.txt": {Data: []byte("a")}}, forward: true, fail: func(string) error {
					if n++; n == 1 && second {
						return nil
					}
					return tt.err
				}}
				h := middleware.Recover(middleware.RecoverOptions{Logger: slog.New(slog.DiscardHandler)})(static(middleware.StaticFilesOptions{FS: fsys}))
				w := requestFile(h, "GET", "/a.txt")
				require.Equal(t, tt.status, w.Code)
				require.Equal(t, tt.body, w.Body.String())
				require.Empty(t, w.Header().Get("Etag"))
			})
		}
	}
}

// Only regular files are served: a pipe would wait for its writer.
func TestStaticFilesIrregular(t *testing.T) {
	fsys := &opens{FS: fstest.MapFS{
		"pipe":                {Mode: fs.ModeNamedPipe},
		"device":              {Mode: fs.ModeDevice | fs.ModeCharDevice},
		"dir/index.html/file": {},
	}}
	for _, target := range []string{"/pipe", "/device", "/dir/", "/dir/index.html"} {
		w := requestFile(static(middleware.StaticFilesOptions{FS: fsys}), "GET", target)
		require.Equal(t, "next", w.Body.String(), target)
	}
	require.Zero(t, fsys.n.Load(), "nothing was opened")
}

func TestStaticFilesHeader(t *testing.T) {
	var names []string
	h := static(middleware.StaticFilesOptions{
		FS: fstest.MapFS{"docs/index.html": {Data: []byte("<p>")}, "a.1f3c.js": {Data: []byte("x")}, "model.gltf": {Data: []byte("{}")}},
		Header: func(h http.Header, name string) {
			names = append(names, name)
			require.NotEmpty(t, h.Get("Etag"))
			if strings.HasSuffix(name, ".js") {
				h.Set("Cache-Control", "public, max-age=31536000, immutable")
			}
			if strings.HasSuffix(name, ".gltf") {
				h.Del("Etag")
				h.Set("Content-Type", "model/gltf+json")
			}
		},
	})
	w := requestFile(h, "GET", "/a.1f3c.js")
	require.Equal(t, "public, max-age=31536000, immutable", w.Header().Get("Cache-Control"))
	w = requestFile(h, "GET", "/a.1f3c.js", "If-None-Match", w.Header().Get("Etag"))
	require.Equal(t, 304, w.Code)
	require.Equal(t, "public, max-age=31536000, immutable", w.Header().Get("Cache-Control"))
	requestFile(h, "GET", "/docs") // redirects
	requestFile(h, "HEAD", "/docs/")
	requestFile(h, "GET", "/missing")
	w = requestFile(h, "GET", "/model.gltf")
	require.Equal(t, "model/gltf+json", w.Header().Get("Content-Type"))
	require.Empty(t, w.Header().Get("Etag"))
	require.Equal(t, []string{"a.1f3c.js", "a.1f3c.js", "docs/index.html", "model.gltf"}, names)
}

// The type depends on the name: content never turns an upload into a page.
func TestStaticFilesTypes(t *testing.T) {
	html := []byte("<!doctype html><script>alert(1)</script>")
	files := fstest.MapFS{}
	want := map[string]string{
		"a.JS": "text/javascript; charset=utf-8", "a.mjs": "text/javascript; charset=utf-8", "a.css": "text/css; charset=utf-8",
		"a.svg": "image/svg+xml", "a.wasm": "application/wasm", "a.woff2": "font/woff2", "a.webmanifest": "application/manifest+json",
		"a.json": "application/json", "a.txt": "text/plain; charset=utf-8", "a.gltf": "model/gltf+json", "a.md": "text/plain; charset=utf-8",
		"upload": "application/octet-stream", "upload.unknown-ext": "application/octet-stream",
	}
	for name := range want {
		files[name] = &fstest.MapFile{Data: html}
	}
	h := static(middleware.StaticFilesOptions{FS: files, Types: map[string]string{".gltf": "model/gltf+json", ".md": "text/plain; charset=utf-8"}})
	for name, kind := range want {
		w := requestFile(h, "GET", "/"+name)
		require.Equal(t, kind, w.Header().Get("Content-Type"), name)
		require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
	}
}

func TestStaticFilesConfig(t *testing.T) {
	_, err := pipeline.New().Use(middleware.StaticFiles(middleware.StaticFilesOptions{
		Types: map[string]string{"js": "text/javascript", ".JPG": "image/jpeg", ".tar.gz": "application/gzip", ".x": "nothing", ".ok": "text/plain"},
	})).Build()
	for _, part := range []string{"FS is nil", `".JPG"`, `"js"`, `".tar.gz"`, `"nothing" for ".x"`} {
		require.ErrorContains(t, err, part)
	}
	require.NotContains(t, err.Error(), ".ok")
}

func TestStaticFilesNames(t *testing.T) {
	for _, tt := range []struct {
		name          string
		unix, windows bool
	}{
		{"a/b.txt", true, true},
		{"größe 1.txt", true, true},
		{"a~b", true, true},
		{"a~", true, true},
		{"GIT~1", true, false},
		{"dir/PROGRA~1/x", true, false},
		{"file.txt::$DATA", false, false},
		{"C:/windows", false, false},
		{`..\secret`, false, false},
		{"admin./s", false, false},
		{"secret.txt.", false, false},
		{"secret.txt ", false, false},
		{"a\x00.txt", false, false},
		{"a\nb", false, false},
		{"a\x7f", false, false},
	} {
		require.Equal(t, tt.unix, middleware.IsUnambiguousName(tt.name, false), "%q", tt.name)
		require.Equal(t, tt.windows, middleware.IsUnambiguousName(tt.name, true), "%q", tt.name)
	}
}

// Unchanged paths over a socket: no file outside the folder is served, with and without the
// pipeline's cleaning of paths.
func TestStaticFilesTraversal(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "public")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "sub", ".git"), 0o700))
	secret := []byte("LEAK: outside of the folder, or hidden in it")
	for _, name := range []string{"../secret.txt", ".env", "sub/.git/config"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), secret, 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "open.txt"), []byte("open"), 0o600))
	require.NoError(t, os.Symlink(filepath.Join(top, "secret.txt"), filepath.Join(dir, "link.txt")))
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer root.Close()

	absolute := filepath.ToSlash(filepath.Join(top, "secret.txt"))
	targets := []string{
		"/../secret.txt", "/../../secret.txt", "/sub/../../secret.txt", "/./../secret.txt", "//../secret.txt", "/..//secret.txt",
		"/%2e%2e/secret.txt", "/%2e%2e%2fsecret.txt", "/..%2fsecret.txt", "/.%2e/secret.txt", "/%2E%2E/%2E%2E/secret.txt", "/sub/%2e%2e/%2e%2e/secret.txt",
		`/..\secret.txt`, "/..%5csecret.txt", "/%2e%2e%5csecret.txt", `/sub\..\..\secret.txt`, `\..\secret.txt`,
		absolute, "/" + absolute, "//" + absolute, "/%2f" + absolute, "/" + strings.ReplaceAll(absolute, "/", "%2f"), "/file:" + absolute,
		"/%00/../secret.txt", "/open.txt%00/../../secret.txt", "/../secret.txt%00.html", "/..%00/secret.txt", "/.%00./secret.txt",
		"/%c0%ae%c0%ae/secret.txt", "/%e0%80%ae%e0%80%ae/secret.txt", "/..%c0%afsecret.txt", "/..%ef%bc%8fsecret.txt", "/%uff0e%uff0e/secret.txt", "/\uff0e\uff0e/secret.txt",
		"/%252e%252e/secret.txt", "/..%252fsecret.txt", "/..;/secret.txt", "/sub/..;/../secret.txt", "/..../secret.txt", "/.../secret.txt", "/.. /secret.txt", "/..%20/secret.txt",
		"/.env", "/%2eenv", "/./.env", "/sub/../.env", "/.env/", "/.env%00", "/.env.", "/.env%20", "/.env::$DATA", "/sub/.git/config", "/sub/%2egit/config", "/sub//.git/config", "/sub%2f.git%2fconfig",
		"http://x/../secret.txt", "http://x/%2e%2e/secret.txt", "http://x/.env", "http:../secret.txt",
		"/open.txt/../../secret.txt", "/open.txt/..%2f..%2fsecret.txt", "/link.txt",
	}
	files := middleware.StaticFiles(middleware.StaticFilesOptions{FS: root.FS()})
	for name, h := range map[string]http.Handler{
		"alone":       files(http.NotFoundHandler()),
		"in pipeline": pipeline.New().Use(files).MustBuild(),
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(h)
			defer srv.Close()
			status, answer := sendRawRequest(t, srv, "GET /open.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			require.Equal(t, "200", status, answer)
			for _, target := range targets {
				for range 5 { // redirects
					status, answer = sendRawRequest(t, srv, "GET "+target+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
					require.NotContains(t, answer, "LEAK", target)
					_, rest, moved := strings.Cut(answer, "\r\nLocation: ")
					if !moved {
						break
					}
					target, _, _ = strings.Cut(rest, "\r\n")
				}
				require.Contains(t, []string{"400", "404"}, status, target)
			}
		})
	}
}

// The common requests, over both protocols.
func TestStaticFilesOverTheWire(t *testing.T) {
	h := pipeline.New().Use(middleware.ResponseTime, middleware.StaticFiles(middleware.StaticFilesOptions{FS: embedded})).MustBuild()
	overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
		res, body, err := get(t, srv, "/developererrorpage.css")
		require.NoError(t, err)
		want, err := embedded.ReadFile("developererrorpage.css")
		require.NoError(t, err)
		require.Equal(t, string(want), body)
		require.NotEmpty(t, res.Header.Get("X-Response-Time"))
		res, body, err = get(t, srv, "/developererrorpage.css", "If-None-Match", res.Header.Get("Etag"))
		require.NoError(t, err)
		require.Equal(t, 304, res.StatusCode)
		require.Empty(t, body)
		res, _, err = get(t, srv, "/developererrorpage.css", "Range", "bytes=0-3")
		require.NoError(t, err)
		require.Equal(t, 206, res.StatusCode)
	})
}

func TestStaticFilesOfNothing(t *testing.T) {
	_, err := pipeline.New().Use(middleware.StaticFiles(middleware.StaticFilesOptions{FS: os.DirFS(t.TempDir() + "/missing")})).Build()
	require.ErrorContains(t, err, "FS can't be read")
}
