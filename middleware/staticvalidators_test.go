package middleware_test

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
)

// fetch sends a request over real HTTP. header has names and values; a name may be repeated.
// Nothing is decoded, and no header is added.
func fetch(t *testing.T, srv *httptest.Server, method, target string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+target, nil)
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	client := srv.Client()
	client.Transport.(*http.Transport).DisableCompression = true
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, string(body)
}

// zipOf returns an archive with one file.
func zipOf(t *testing.T, name, content string, modified time.Time) fs.FS {
	t.Helper()
	var buf bytes.Buffer
	zw := zip.NewWriter(&buf)
	w, err := zw.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: modified})
	require.NoError(t, err)
	_, err = io.WriteString(w, content)
	require.NoError(t, err)
	require.NoError(t, zw.Close())
	zr, err := zip.NewReader(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	require.NoError(t, err)
	return zr
}

// Builds with constant times give two versions of a file the same time and, often, the same
// size. The validators of one must not match the other.
func TestStaticFilesConstantTimes(t *testing.T) {
	epoch := time.Unix(0, 0)
	onDisk := func(at time.Time) func(*testing.T, string) fs.FS {
		return func(t *testing.T, content string) fs.FS {
			dir := t.TempDir()
			file := filepath.Join(dir, "app.js")
			require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
			require.NoError(t, os.Chtimes(file, at, at))
			return os.DirFS(dir)
		}
	}
	inMemory := func(at time.Time) func(*testing.T, string) fs.FS {
		return func(_ *testing.T, content string) fs.FS {
			return fstest.MapFS{"app.js": {Data: []byte(content), ModTime: at}}
		}
	}
	release := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for _, tt := range []struct {
		name   string
		build  func(*testing.T, string) fs.FS
		always bool // HashContent
	}{
		{"no time", inMemory(time.Time{}), false},
		{"1970", onDisk(epoch), false},
		{"1970 and a second, as in the Nix store", onDisk(epoch.Add(time.Second)), false},
		{"1980, as in archives", inMemory(time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)), false},
		{"1980 in the far west", inMemory(time.Date(1980, 12, 31, 23, 59, 59, 0, time.UTC)), false},
		{"zip without a time", func(t *testing.T, content string) fs.FS { return zipOf(t, "app.js", content, time.Time{}) }, false},
		{"zip with a constant time", func(t *testing.T, content string) fs.FS { return zipOf(t, "app.js", content, release) }, false},
		{"SOURCE_DATE_EPOCH", onDisk(release), true},
		{"SOURCE_DATE_EPOCH in memory", inMemory(release), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			one := static(middleware.StaticFilesOptions{FS: tt.build(t, "version one"), HashContent: tt.always})
			two := static(middleware.StaticFilesOptions{FS: tt.build(t, "version two"), HashContent: tt.always})
			overBothProtocols(t, one, func(t *testing.T, first *httptest.Server) {
				res, body := fetch(t, first, "GET", "/app.js")
				require.Equal(t, "version one", body)
				etag := res.Header.Get("Etag")
				require.Regexp(t, `^"[\w-]{22}"$`, etag)
				require.Empty(t, res.Header.Get("Last-Modified"), "it would be the same for both")
				res, _ = fetch(t, first, "HEAD", "/app.js")
				require.Equal(t, etag, res.Header.Get("Etag"))
				res, _ = fetch(t, first, "GET", "/app.js", "If-None-Match", etag)
				require.Equal(t, 304, res.StatusCode)
				res, body = fetch(t, first, "GET", "/app.js", "Range", "bytes=8-", "If-Range", etag)
				require.Equal(t, 206, res.StatusCode)
				require.Equal(t, "one", body)

				second := httptest.NewServer(counted(two))
				defer second.Close()
				for name, header := range map[string][]string{
					"If-None-Match":                         {"If-None-Match", etag},
					"If-Modified-Since":                     {"If-Modified-Since", time.Now().UTC().Format(http.TimeFormat)},
					"If-Range":                              {"Range", "bytes=8-", "If-Range", etag},
					"If-Range with a date":                  {"Range", "bytes=8-", "If-Range", release.Format(http.TimeFormat)},
					"If-Range with the date of file system": {"Range", "bytes=8-", "If-Range", epoch.UTC().Format(http.TimeFormat)},
				} {
					res, body := fetch(t, second, "GET", "/app.js", header...)
					require.Equal(t, 200, res.StatusCode, name)
					require.Equal(t, "version two", body, name)
				}
				res, _ = fetch(t, second, "GET", "/app.js", "If-Match", etag)
				require.Equal(t, 412, res.StatusCode)
			})
		})
	}
}

// Files from 1981 on have their time and size as ETag, and a date.
func TestStaticFilesTimes(t *testing.T) {
	for _, year := range []int{1981, 2020} {
		at := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
		h := static(middleware.StaticFilesOptions{FS: fstest.MapFS{"a.txt": {Data: []byte("a"), ModTime: at}}})
		require.Equal(t, at.Format(http.TimeFormat), requestFile(h, "GET", "/a.txt").Header().Get("Last-Modified"))
	}
}

// A file that is replaced, or written again, while its hash is stored gets another ETag, also
// if time and size stay.
func TestStaticFilesReplacedFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "app.js")
	epoch := time.Unix(1, 0)
	write := func(t *testing.T, name, content string) {
		require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
		require.NoError(t, os.Chtimes(name, epoch, epoch))
	}
	h := static(middleware.StaticFilesOptions{FS: os.DirFS(dir)})
	overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
		etags := map[string]string{}
		check := func(content string) {
			t.Helper()
			for range 2 {
				res, body := fetch(t, srv, "GET", "/app.js")
				require.Equal(t, content, body)
				etag := res.Header.Get("Etag")
				require.NotEmpty(t, etag)
				if known, ok := etags[etag]; ok {
					require.Equal(t, known, content)
				}
				etags[etag] = content
			}
		}
		for i := range 20 { // faster than the clock of the file system
			content := fmt.Sprintf("written %02d", i)
			write(t, file, content)
			check(content)
			content = fmt.Sprintf("renamed %02d", i)
			write(t, file+".new", content)
			require.NoError(t, os.Rename(file+".new", file))
			check(content)
		}
		require.Len(t, etags, 40)
	})
}

// A file that has been left alone is hashed once.
func TestStaticFilesStoredHash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "app.js")
	require.NoError(t, os.WriteFile(file, bytes.Repeat([]byte("x"), 1<<16), 0o600))
	require.NoError(t, os.Chtimes(file, time.Unix(1, 0), time.Unix(1, 0)))
	fsys := &opens{FS: os.DirFS(dir)}
	h := static(middleware.StaticFilesOptions{FS: fsys})
	require.Eventually(t, func() bool { // the change is old enough
		before := fsys.read.Load()
		requestFile(h, "HEAD", "/app.js")
		return fsys.read.Load() == before
	}, 30*time.Second, 50*time.Millisecond)
}

// Clients choose the names by which a file is opened, if its file system ignores case. The
// stored hashes stay bounded.
func TestStaticFilesStoredHashesAreBounded(t *testing.T) {
	data := []byte("x")
	h := static(middleware.StaticFilesOptions{FS: anyName{fstest.MapFS{"a": {Data: data}}}})
	for i := range 3 * middleware.MaxHashes {
		require.NotEmpty(t, requestFile(h, "HEAD", fmt.Sprintf("/%d", i)).Header().Get("Etag"))
	}
	require.Equal(t, middleware.MaxHashes, middleware.StoredHashes(h))
}

// anyName is a file system with one file that has every name.
type anyName struct{ fstest.MapFS }

func (f anyName) Open(name string) (fs.File, error) {
	if name == "." {
		return f.MapFS.Open(name)
	}
	return f.MapFS.Open("a")
}

func (f anyName) Stat(name string) (fs.FileInfo, error) {
	if name == "." {
		return f.MapFS.Stat(name)
	}
	return f.MapFS.Stat("a")
}

// While a big file is hashed, other requests for it wait for the same hash, and a client that
// leaves ends its own wait only. Failures and panics are not stored.
func TestStaticFilesConcurrentHashing(t *testing.T) {
	var gate *gatedFS
	var h http.Handler
	overBothProtocols(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) }), func(t *testing.T, srv *httptest.Server) {
		gate = &gatedFS{opens: opens{FS: fstest.MapFS{"big": {Data: bytes.Repeat([]byte("x"), 1<<16)}}}, entered: make(chan struct{}), results: make(chan func() error)}
		h = middleware.Recover(middleware.RecoverOptions{Logger: slog.New(slog.DiscardHandler)})(static(middleware.StaticFilesOptions{FS: gate}))
		head := func(answers chan<- string) {
			res, err := srv.Client().Head(srv.URL + "/big")
			if err != nil {
				answers <- err.Error()
				return
			}
			_ = res.Body.Close()
			answers <- fmt.Sprint(res.StatusCode, res.Header.Get("Etag"))
		}
		answers := make(chan string, 10)
		for _, failure := range []func() error{func() error { return fs.ErrInvalid }, func() error { panic("disk on fire") }} {
			go head(answers)
			<-gate.entered
			gate.results <- failure
			require.Equal(t, "500", <-answers)
		}
		go head(answers)
		<-gate.entered // the hash begins
		for range 9 {
			go head(answers)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		serveHandler(h, httptest.NewRequestWithContext(ctx, "HEAD", "/big", nil)) // returns without the hash
		close(gate.results)
		first := <-answers
		require.Regexp(t, `^200 ?"[\w-]{22}"$`, first)
		for range 9 {
			require.Equal(t, first, <-answers)
		}
	})
}

// gatedFS asks for the result of each first read of a file, until results is closed.
type gatedFS struct {
	opens
	entered chan struct{}
	results chan func() error
}

func (g *gatedFS) Open(name string) (fs.File, error) {
	f, err := g.opens.Open(name)
	if seekable, ok := f.(seekableFile); ok {
		return &gatedFile{seekableFile: seekable, gate: g}, nil
	}
	return f, err
}

type gatedFile struct {
	seekableFile
	gate *gatedFS
	read bool
}

func (f *gatedFile) Read(p []byte) (int, error) {
	if !f.read {
		f.read = true
		f.gate.entered <- struct{}{}
		if result, ok := <-f.gate.results; ok {
			return 0, result()
		}
	}
	return f.seekableFile.Read(p)
}
