package pipeline_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/pipeline"
)

// Each test here is for a bug that has been fixed.

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("the backend is down") }

// An empty or failing source does not start the response: the status can still be set.
func TestReadFromAnEmptySourceStartsNothing(t *testing.T) {
	for _, tt := range []struct {
		name   string
		src    func() io.Reader
		status int
		body   string
	}{
		{"a source that fails at once", func() io.Reader { return failingReader{} }, 502, ""},
		{"an empty source", func() io.Reader { return struct{ io.Reader }{bytes.NewReader(nil)} }, 404, ""},
		{"a short source", func() io.Reader { return struct{ io.Reader }{bytes.NewReader(make([]byte, 100))} }, 200, string(make([]byte, 100))},
		{"a long source", func() io.Reader { return struct{ io.Reader }{bytes.NewReader(make([]byte, 100_000))} }, 200, string(make([]byte, 100_000))},
	} {
		for _, http2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/http2=%v", tt.name, http2), func(t *testing.T) {
				status := make(chan string, 1)
				h := mark("a", func(res *pipeline.Response) { status <- fmt.Sprint(res.Status(), " ", res.BytesWritten()) })(
					http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						n, err := io.Copy(w, tt.src())
						switch {
						case err != nil:
							w.WriteHeader(502)
						case n == 0:
							w.WriteHeader(404)
						}
					}))
				res, body := get(t, serveTest(t, h, http2), "/")
				require.Equal(t, tt.status, res.StatusCode)
				require.Equal(t, len(tt.body), len(body))
				require.Equal(t, fmt.Sprint("a:", tt.status), res.Header.Get("X-Order"))
				require.Equal(t, fmt.Sprint(tt.status, " ", len(tt.body)), <-status)
			})
		}
	}
}

// Over HTTP/2 a 101 is informational.
func Test101OverHTTP2IsInformational(t *testing.T) {
	ended := make(chan string, 1)
	h := mark("a", func(res *pipeline.Response) { ended <- fmt.Sprint(res.Status(), res.Upgraded()) })(
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(101)
			w.WriteHeader(500)
		}))
	res, _ := get(t, serveTest(t, h, true), "/")
	require.Equal(t, 500, res.StatusCode)
	require.Equal(t, "500 false", <-ended)
}

// net/http removes a form's files for its own request, not for copies of it.
func TestUploadedFilesOfCopiesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	upload := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(1); err != nil {
			http.Error(w, err.Error(), 500)
			return
		}
		files, err := os.ReadDir(dir)
		fmt.Fprint(w, len(files), err)
	})
	h := pipeline.New().Use(mark("a", nil), branch.UsePathBase("/v1"))
	h.Map("/up", func(b *pipeline.Builder) { b.Run(upload) })
	srv := serveTest(t, h.MustBuild(), false)
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("f", "f.bin")
	require.NoError(t, err)
	_, err = part.Write(make([]byte, 11<<20)) // more than ParseMultipartForm keeps in memory
	require.NoError(t, err)
	require.NoError(t, form.Close())
	res, err := srv.Client().Post(srv.URL+"/v1/up", form.FormDataContentType(), &body)
	require.NoError(t, err)
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, "1 <nil>", string(text), "one file existed while the handler ran")
	srv.Close()
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, files)
}

// A component in between may rewrite the path.
func TestComponentInBetweenMayRewriteThePath(t *testing.T) {
	b := pipeline.New()
	b.Map("/api", func(b *pipeline.Builder) { b.Run(text("first")) })
	b.Use(branch.UsePathBase("/app"))
	b.Map("/api", func(b *pipeline.Builder) { b.Run(text("second")) })
	srv := serveTest(t, b.MustBuild(), false)
	_, body := get(t, srv, "/api")
	require.Equal(t, "first", body)
	_, body = get(t, srv, "/app/api")
	require.Equal(t, "second", body)
}

// ReadTimeout applies where the other limits are zero.
func TestServeKeepsReadTimeout(t *testing.T) {
	srv := &http.Server{Handler: text("x"), ReadTimeout: time.Second}
	_, stop, done := serving(t, srv)
	stop()
	require.NoError(t, wait(t, done))
	require.Zero(t, srv.ReadHeaderTimeout)
	require.Zero(t, srv.IdleTimeout)
}

func TestServeTLSWithoutACertificateLeftTheListenerOpen(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	err = pipeline.ServeListener(t.Context(), ln, &http.Server{TLSConfig: &tls.Config{}})
	require.ErrorContains(t, err, "no certificate")
	_, err = net.Dial("tcp", ln.Addr().String())
	require.Error(t, err)
}

// A panic on the way back, after the connection was handed over, does not close the new
// owner's socket.
func TestPanicAfterHandOverKeepsTheSocket(t *testing.T) {
	handedOver, ended := make(chan net.Conn, 1), make(chan struct{})
	h := mark("outer", func(*pipeline.Response) { close(ended) })(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mark("inner", nil)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			must(err)
			handedOver <- conn
		})).ServeHTTP(w, r)
		panic(http.ErrAbortHandler)
	}))
	srv := serveTest(t, h, false)
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	owner := <-handedOver
	defer owner.Close()
	<-ended
	_, err = owner.Write([]byte("x"))
	require.NoError(t, err)
	_, err = io.ReadFull(conn, make([]byte, 1))
	require.NoError(t, err)
}

// A start in a goroutine that outlives its handler must not reopen a completed response.
func TestLateStartKeepsTheResponseCompleted(t *testing.T) {
	entered, goOn := make(chan struct{}), make(chan struct{})
	var kept *pipeline.Response
	late := make(chan struct{})
	h := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		kept = res
		must(res.OnStarting(func(http.Header, int) { close(entered); <-goOn }))
		go func() {
			defer close(late)
			defer func() { _ = recover() }() // the writer may panic
			w.WriteHeader(200)
		}()
		<-entered
	})(text("x"))
	h.ServeHTTP(nullWriter{http.Header{}}, mustRequest())
	close(goOn)
	<-late
	require.ErrorIs(t, kept.OnCompleted(func() {}), pipeline.ErrResponseCompleted)
}

type nullWriter struct{ h http.Header }

func (n nullWriter) Header() http.Header       { return n.h }
func (nullWriter) Write(p []byte) (int, error) { return len(p), nil }
func (nullWriter) WriteHeader(int)             {}

func mustRequest() *http.Request {
	r, err := http.NewRequest(http.MethodGet, "http://example.com/", nil)
	must(err)
	return r
}
