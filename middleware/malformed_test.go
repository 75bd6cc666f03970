package middleware_test

import (
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

// malformedBodies are chunked bodies that are not valid (RFC 9112, section 7.1).
var malformedBodies = []struct{ name, body string }{
	{"not a size", "zz\r\n"},
	{"a negative size", "-1\r\nx\r\n0\r\n\r\n"},
	{"an empty size", "\r\nx\r\n"},
	{"a size that is too large", "fffffffffffffffff\r\n"},
	{"a chunk that is longer than its size", "3\r\nabcdef\r\n0\r\n\r\n"},
	{"an invalid CR", "3\rx\r\nabc\r\n0\r\n\r\n"},
	{"a line that is too long", "3;" + strings.Repeat("x", 10_000) + "\r\nabc\r\n0\r\n\r\n"},
	{"a later chunk", "3\r\nabc\r\nq\r\n"},
	{"a malformed trailer", "3\r\nabc\r\n0\r\nno colon\r\n\r\n"},
}

// A malformed body is the client's error, however the handler reports it.
func TestMalformedBodies(t *testing.T) {
	read := func(r *http.Request) error { _, err := io.Copy(io.Discard, r.Body); return err }
	handlers := []struct {
		name string
		h    http.Handler
	}{
		{"HandlerFunc", reads},
		{"only the text", middleware.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
			return fmt.Errorf("reading: %v", read(r)) //nolint:errorlint // like libraries that do not wrap
		})},
		{"Fail", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { middleware.Fail(w, r, read(r)) })},
		{"panic", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { panic(read(r)) })},
	}
	limit := middleware.BodyLimit(1 << 20)
	stacks := []struct {
		name  string
		stack func(l *logs) []pipeline.Middleware
	}{
		{"Recover", func(l *logs) []pipeline.Middleware { return []pipeline.Middleware{recoverTo(l)} }},
		{"an inner Recover", func(l *logs) []pipeline.Middleware {
			return []pipeline.Middleware{middleware.ResponseTime, recoverTo(l)}
		}},
		{"Recover, BodyLimit, Timeout", func(l *logs) []pipeline.Middleware {
			return []pipeline.Middleware{recoverTo(l), limit, middleware.Timeout(time.Minute)}
		}},
		{"BodyLimit above Recover", func(l *logs) []pipeline.Middleware { return []pipeline.Middleware{limit, recoverTo(l)} }},
		{"two Recovers", func(l *logs) []pipeline.Middleware {
			return []pipeline.Middleware{recoverTo(l), middleware.ResponseTime, recoverTo(l)}
		}},
	}
	for _, stack := range stacks {
		for _, tt := range handlers {
			t.Run(stack.name+"/"+tt.name, func(t *testing.T) {
				var l logs
				srv := httptest.NewServer(counted(pipeline.New().Use(stack.stack(&l)...).Run(tt.h).MustBuild()))
				defer srv.Close()
				for _, bad := range malformedBodies {
					res, err := sendRaw(t, srv, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"+bad.body, false)
					require.NoError(t, err, bad.name)
					require.Equal(t, 400, res.StatusCode, bad.name)
					require.True(t, res.Close, "%s: the connection is closed", bad.name)
				}
				for _, rec := range l.records(t) {
					require.Equal(t, "INFO", rec["level"], rec)
				}
				require.Len(t, l.records(t), len(malformedBodies))
			})
		}
	}
}

func recoverTo(l *logs) pipeline.Middleware {
	return middleware.Recover(middleware.RecoverOptions{Logger: l.logger()})
}

// A HandlerFunc knows the client's errors without a Recover above, too.
func TestMalformedBodiesWithoutRecover(t *testing.T) {
	srv := httptest.NewServer(reads)
	defer srv.Close()
	for _, bad := range malformedBodies {
		res, err := sendRaw(t, srv, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"+bad.body, false)
		require.NoError(t, err, bad.name)
		require.Equal(t, 400, res.StatusCode, bad.name)
	}
}

// The same errors of an upstream server are not the client's.
func TestMalformedBodiesOfUpstreamServers(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
			_ = conn.Close()
		}
	}))
	defer upstream.Close()
	h := pipeline.New().Use(quiet()).Run(middleware.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return err
		}
		res, err := upstream.Client().Get(upstream.URL)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		return err
	})).MustBuild()
	overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
		res, _ := post(t, srv, "/", 10, true)
		require.Equal(t, 500, res.StatusCode)
	})
}

// The status of the answer to a body that fails.
func TestStatusOfFailedBodies(t *testing.T) {
	for _, tt := range []struct {
		name   string
		err    error
		status int
	}{
		{"malformed", errors.New("malformed chunked encoding"), 400},
		{"a stream that is shorter than announced", errors.New("request declared a Content-Length of 10 but only wrote 5 bytes"), 400},
		{"a read deadline", &net.OpError{Op: "read", Err: timeoutOfTest(t)}, 408},
		{"cut off", io.ErrUnexpectedEOF, 499},
		{"the connection has ended", errors.New("client disconnected"), 499},
		{"a read error", &net.OpError{Op: "read", Err: errors.New("connection reset")}, 499},
		{"too large", &http.MaxBytesError{Limit: 1}, 413},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/", io.NopCloser(failingReader{tt.err}))
			w := httptest.NewRecorder()
			quiet()(reads).ServeHTTP(w, r)
			require.Equal(t, tt.status, w.Code)
		})
	}
	t.Run("a read after Close is the handler's mistake", func(t *testing.T) {
		h := middleware.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
			_ = r.Body.Close()
			_, err := io.Copy(io.Discard, r.Body)
			return err
		})
		overBothProtocols(t, quiet()(h), func(t *testing.T, srv *httptest.Server) {
			res, _ := post(t, srv, "/", 10, false)
			require.Equal(t, 500, res.StatusCode)
		})
	})
	t.Run("an answer of the handler's own", func(t *testing.T) {
		h := middleware.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
			_, err := io.Copy(io.Discard, r.Body)
			return &middleware.Problem{Status: 422, Err: err}
		})
		w := httptest.NewRecorder()
		quiet()(h).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", failingReader{errors.New("malformed")}))
		require.Equal(t, 422, w.Code)
	})
}

type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

// timeoutOfTest returns the error of a read whose deadline has passed.
func timeoutOfTest(t *testing.T) error {
	t.Helper()
	conn, other := net.Pipe()
	defer conn.Close()
	defer other.Close()
	require.NoError(t, conn.SetReadDeadline(time.Unix(1, 0)))
	_, err := conn.Read(make([]byte, 1))
	require.Error(t, err)
	return err
}

// Forms that are not what the handler expects are the client's error.
func TestErrorsOfForms(t *testing.T) {
	for _, tt := range []struct {
		name, contentType, body string
		status                  int
	}{
		{"not a multipart form", "application/json", "{}", 400},
		{"no boundary", "multipart/form-data", "x", 400},
		{"no such file", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\ny\r\n--b--\r\n", 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := quiet()(middleware.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
				_, _, err := r.FormFile("file")
				return err
			}))
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(tt.body))
			r.Header.Set("Content-Type", tt.contentType)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			require.Equal(t, tt.status, w.Code)
		})
	}
	w := httptest.NewRecorder()
	quiet()(handlerReturning(multipart.ErrMessageTooLarge)).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
	require.Equal(t, 413, w.Code)
}
