package middleware_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
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

// reads reads the whole body and answers with its length; it fails with the body's error.
var reads = middleware.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		return fmt.Errorf("reading the body: %w", err)
	}
	_, err = fmt.Fprintf(w, "%d bytes", n)
	return err
})

// post sends a body of n bytes, with or without a Content-Length.
func post(t *testing.T, srv *httptest.Server, target string, n int, chunked bool, header ...string) (*http.Response, string) {
	t.Helper()
	var body io.Reader = bytes.NewReader(make([]byte, n))
	if chunked {
		body = io.MultiReader(body) // hides the length
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+target, body)
	require.NoError(t, err)
	req.Header.Set("Accept", "text/plain") // unless header has another
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := srv.Client().Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, string(answer)
}

func TestBodyLimit(t *testing.T) {
	ignores := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	own := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			http.Error(w, fmt.Sprint("at most ", tooLarge.Limit), http.StatusTeapot)
		}
	})
	unread := text("not read")
	limit := middleware.BodyLimit(10)
	h := pipeline.New().Use(middleware.ResponseTime, quiet()).
		Map("/reads", func(b *pipeline.Builder) { b.Use(limit).Run(reads) }).
		Map("/ignores", func(b *pipeline.Builder) { b.Use(limit).Run(ignores) }).
		Map("/own", func(b *pipeline.Builder) { b.Use(limit).Run(own) }).
		Map("/unread", func(b *pipeline.Builder) { b.Use(limit).Run(unread) }).
		Map("/none", func(b *pipeline.Builder) { b.Use(middleware.BodyLimit(0)).Run(reads) }).
		Map("/large", func(b *pipeline.Builder) { b.Use(limit, middleware.BodyLimit(1000)).Run(reads) }).
		Map("/any", func(b *pipeline.Builder) { b.Use(limit, middleware.BodyLimit(math.MaxInt64)).Run(reads) }).
		Map("/small", func(b *pipeline.Builder) { b.Use(middleware.BodyLimit(1000), limit).Run(reads) }).
		Map("/three", func(b *pipeline.Builder) {
			b.Use(limit, middleware.BodyLimit(20), middleware.BodyLimit(1000)).Run(reads)
		}).
		Map("/firm", func(b *pipeline.Builder) {
			b.Use(middleware.BodyLimitWith(10, middleware.BodyLimitOptions{Firm: true}), middleware.BodyLimit(1000)).Run(reads)
		}).
		Map("/begun", func(b *pipeline.Builder) {
			b.Use(limit).UseFunc(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				_, _ = r.Body.Read(make([]byte, 1))
				next.ServeHTTP(w, r)
			}).Use(middleware.BodyLimit(1000)).Run(reads)
		}).MustBuild()
	// No component observes, and there is no Recover.
	bare := http.NewServeMux()
	bare.Handle("/ignores", limit(ignores))

	overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
		for _, tt := range []struct {
			name, target string
			n            int
			status       int
			body         string
		}{
			{"exact", "/reads", 10, 200, "10 bytes"},
			{"empty", "/reads", 0, 200, "0 bytes"},
			{"one more", "/reads", 11, 413, "413 Request Entity Too Large\n"},
			{"many more", "/reads", 1 << 20, 413, "413 Request Entity Too Large\n"},
			{"the handler writes nothing", "/ignores", 11, 413, "413 Request Entity Too Large\n"},
			{"the handler writes nothing, within the limit", "/ignores", 10, 200, ""},
			{"the handler's own answer", "/own", 11, 418, "at most 10\n"},
			{"not read", "/unread", 11, 200, "not read"},
			{"no body allowed, none there", "/none", 0, 200, "0 bytes"},
			{"no body allowed", "/none", 1, 413, "413 Request Entity Too Large\n"},
			{"larger inside", "/large", 500, 200, "500 bytes"},
			{"larger inside, and more", "/large", 1001, 413, "413 Request Entity Too Large\n"},
			{"lifted inside", "/any", 100_000, 200, "100000 bytes"},
			{"smaller inside", "/small", 500, 413, "413 Request Entity Too Large\n"},
			{"three", "/three", 500, 200, "500 bytes"},
			{"firm outside", "/firm", 11, 413, "413 Request Entity Too Large\n"},
			{"firm outside, within", "/firm", 10, 200, "10 bytes"},
			{"read before the inner one", "/begun", 500, 413, "413 Request Entity Too Large\n"},
		} {
			for _, chunked := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, chunked=%v", tt.name, chunked), func(t *testing.T) {
					res, body := post(t, srv, tt.target, tt.n, chunked)
					require.Equal(t, tt.status, res.StatusCode)
					require.Equal(t, tt.body, body)
					require.NotEmpty(t, res.Header.Get("X-Response-Time"))
					if res.ProtoMajor == 1 && tt.status >= 400 {
						require.True(t, res.Close, "the connection is closed")
					}
				})
			}
		}
	})
	overBothProtocols(t, bare, func(t *testing.T, srv *httptest.Server) {
		res, _ := post(t, srv, "/ignores", 11, true)
		require.Equal(t, 413, res.StatusCode)
	})
}

// No component behind a firm limit runs.
func TestBodyLimitFirm(t *testing.T) {
	var l logs
	h := pipeline.New().Use(middleware.Recover(middleware.RecoverOptions{Logger: l.logger()}), middleware.BodyLimitWith(10, middleware.BodyLimitOptions{Firm: true})).
		RunFunc(func(http.ResponseWriter, *http.Request) { t.Error("a handler ran") }).MustBuild()
	overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
		res, body := post(t, srv, "/", 11, false, "Accept", "application/json")
		require.Equal(t, 413, res.StatusCode)
		require.JSONEq(t, `{"type":"about:blank","title":"Request Entity Too Large","status":413}`, body)
		require.Equal(t, res.ProtoMajor == 1, res.Close)
	})
	for _, rec := range l.records(t) {
		require.Equal(t, "INFO", rec["level"], "the client's fault")
	}
}

// conversation sends bytes and returns the reader of the answer.
func conversation(t *testing.T, srv *httptest.Server, request string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() }) // the server closes it too
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = io.WriteString(conn, request)
	require.NoError(t, err)
	return conn, bufio.NewReader(conn)
}

// A client that sends Expect: 100-continue is refused without a 100.
func TestBodyLimitExpectContinue(t *testing.T) {
	for _, firm := range []bool{false, true} {
		h := pipeline.New().Use(quiet(), middleware.BodyLimitWith(10, middleware.BodyLimitOptions{Firm: firm})).Run(reads).MustBuild()
		srv := httptest.NewServer(counted(h))
		defer srv.Close()
		head := "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"

		conn, br := conversation(t, srv, fmt.Sprintf(head, 11))
		res, err := http.ReadResponse(br, nil)
		require.NoError(t, err)
		require.Equal(t, 413, res.StatusCode, "and no 100 before it")
		require.True(t, res.Close)
		require.NoError(t, conn.Close()) // as a client does after the refusal

		conn, br = conversation(t, srv, fmt.Sprintf(head, 10))
		line, err := br.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "HTTP/1.1 100 Continue\r\n", line)
		_, err = br.ReadString('\n')
		require.NoError(t, err)
		_, err = io.WriteString(conn, "0123456789")
		require.NoError(t, err)
		res, err = http.ReadResponse(br, nil)
		require.NoError(t, err)
		require.Equal(t, 200, res.StatusCode)
	}
}

// A client that keeps sending gets an answer, and does not occupy the server.
func TestBodyLimitEndlessClient(t *testing.T) {
	for name, head := range map[string]string{
		"chunked": "Transfer-Encoding: chunked\r\n",
		"fixed":   "Content-Length: 1000000000000\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			h := pipeline.New().Use(middleware.ResponseTime, quiet(), middleware.BodyLimit(1<<10)).Run(reads).MustBuild()
			srv := httptest.NewServer(counted(h))
			defer srv.Close()
			conn, br := conversation(t, srv, "POST / HTTP/1.1\r\nHost: x\r\n"+head+"\r\n")
			sent := make(chan error, 1)
			go func() {
				chunk := "1000\r\n" + strings.Repeat("x", 0x1000) + "\r\n"
				for {
					if _, err := io.WriteString(conn, chunk); err != nil {
						sent <- err
						return
					}
				}
			}()
			res, err := http.ReadResponse(br, nil)
			require.NoError(t, err)
			require.Equal(t, 413, res.StatusCode)
			require.True(t, res.Close)
			require.Error(t, <-sent, "the server has closed the connection")
		})
	}
}

// The stream of a WebSocket over HTTP/2 is not a body.
func TestBodyLimitLeavesConnectAlone(t *testing.T) {
	r := httptest.NewRequest(http.MethodConnect, "/chat", strings.NewReader(strings.Repeat("x", 100)))
	r.ProtoMajor, r.ProtoMinor = 2, 0
	r.Header.Set(":protocol", "websocket")
	var got *http.Request
	middleware.BodyLimit(10)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r })).ServeHTTP(httptest.NewRecorder(), r)
	require.Same(t, r, got)

	plain := httptest.NewRequest(http.MethodGet, "/", nil)
	middleware.BodyLimit(10)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r })).ServeHTTP(httptest.NewRecorder(), plain)
	require.Same(t, plain, got, "and a request without a body costs nothing")
}

// The caller's request keeps its body, and gets the fields that net/http needs.
func TestBodyLimitAndTheCallersRequest(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("x"))
	body := r.Body
	closed := false
	r.Body = closer{body, func() { closed = true }}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{$}", func(_ http.ResponseWriter, r *http.Request) { require.NoError(t, r.Body.Close()) })
	middleware.BodyLimit(10)(mux).ServeHTTP(httptest.NewRecorder(), r)
	require.IsType(t, closer{}, r.Body)
	require.True(t, closed)
	require.Equal(t, "POST /{$}", r.Pattern)
}

type closer struct {
	io.Reader
	close func()
}

func (c closer) Close() error { c.close(); return nil }

func TestBodyLimitConfig(t *testing.T) {
	_, err := pipeline.New().Use(middleware.BodyLimit(-1), middleware.BodyLimitWith(-2, middleware.BodyLimitOptions{})).Build()
	require.ErrorContains(t, err, "middleware.BodyLimit: the limit is -1 bytes")
	require.ErrorContains(t, err, "middleware.BodyLimitWith: the limit is -2 bytes")
}

// Forms and multipart bodies are limited too.
func TestBodyLimitForms(t *testing.T) {
	h := pipeline.New().Use(middleware.Recover(middleware.RecoverOptions{Logger: slog.New(slog.DiscardHandler)}), middleware.BodyLimit(20)).
		Run(middleware.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
			if err := r.ParseForm(); err != nil {
				return err
			}
			_, err := io.WriteString(w, r.PostFormValue("a"))
			return err
		})).MustBuild()
	srv := httptest.NewServer(counted(h))
	defer srv.Close()
	for body, status := range map[string]int{"a=b": 200, "a=" + strings.Repeat("b", 30): 413} {
		res, err := srv.Client().Post(srv.URL, "application/x-www-form-urlencoded", strings.NewReader(body))
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, status, res.StatusCode)
	}
}
