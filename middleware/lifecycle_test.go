package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

// Below http.TimeoutHandler the record is written while a ServeMux may set its pattern in
// the request (the race detector checks it).
func TestAccessLogLooksAtNoPatternInTheMaking(t *testing.T) {
	l := &logs{}
	release, returned := make(chan struct{}), make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/x", func(http.ResponseWriter, *http.Request) { close(returned) })
	answered := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		_ = res.OnStarting(func(http.Header, int) { close(release) }) // the response has not started
		next.ServeHTTP(w, r)
	})
	h := pipeline.New().Use(answered, middleware.ResponseTime, func(next http.Handler) http.Handler {
		return http.TimeoutHandler(next, 250*time.Millisecond, "late")
	}, middleware.AccessLog(middleware.AccessLogOptions{Logger: l.logger()})).
		UseFunc(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			<-release
			next.ServeHTTP(w, r)
		}).Run(mux).MustBuild()
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/x", nil))
	<-returned
	require.EqualValues(t, 503, group(l.records(t)[0], "response")["status"])
}

// Over HTTP/2 the answer to a HEAD is complete before the handler has returned, and
// net/http ends the context: the client has not left.
func TestAccessLogOfHead(t *testing.T) {
	l := &logs{}
	h := middleware.AccessLog(middleware.AccessLogOptions{Logger: l.logger()})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 100_000))
		if r.ProtoMajor == 2 {
			<-r.Context().Done()
		}
	}))
	overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
		l.buf.Reset()
		res, err := srv.Client().Head(srv.URL)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		srv.Close()
		response := group(l.records(t)[0], "response")
		require.EqualValues(t, 200, response["status"])
		require.Nil(t, response["aborted"])
	})
}

// A subscriber that leaves before the first event has got a 200.
func TestAccessLogOfAStreamWithoutEvents(t *testing.T) {
	l := &logs{}
	ctx, leave := context.WithCancel(t.Context())
	h := middleware.AccessLog(middleware.AccessLogOptions{Logger: l.logger()})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		leave()
	}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx))
	response := group(l.records(t)[0], "response")
	require.EqualValues(t, 200, response["status"])
	require.Equal(t, true, response["aborted"])
}

// httputil.ReverseProxy clears the headers after each 1xx.
func TestRequestIDBehindAReverseProxy(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "hello")
	}))
	defer upstream.Close()
	to, err := url.Parse(upstream.URL)
	require.NoError(t, err)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, Transport: &http.Transport{DisableKeepAlives: true}}
	overBothProtocols(t, pipeline.New().Use(middleware.RequestID(middleware.RequestIDOptions{})).Run(proxy).MustBuild(), func(t *testing.T, srv *httptest.Server) {
		res, body, err := get(t, srv, "/")
		require.NoError(t, err)
		require.Equal(t, "hello", body)
		require.Len(t, res.Header.Get("X-Request-Id"), 32)
	})
}

// The client's spelling of a branch is not part of the route.
func TestRouteOfHealthChecksInABranch(t *testing.T) {
	var route string
	note := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		next.ServeHTTP(w, r)
		route = res.Route()
	})
	h := pipeline.New().Use(note).Map("/admin", func(b *pipeline.Builder) {
		b.Use(middleware.HealthChecks(middleware.HealthChecksOptions{Path: "/health"}))
	}).MustBuild()
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/aDmIn/health", nil))
	require.Equal(t, "/admin/health", route)
}

// A connection that the handlers have handed over is not closed by a later panic, whichever
// components observe writers in between.
func TestHandedOverBelowATimeout(t *testing.T) {
	h := pipeline.New().Use(middleware.Recover(middleware.RecoverOptions{Logger: slog.New(slog.DiscardHandler)}), middleware.Timeout(time.Minute)).
		UseFunc(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			next.ServeHTTP(w, r)
			panic(errors.New("above"))
		}).Use(middleware.ResponseTime).
		RunFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			handed <- conn
		}).MustBuild()
	over := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(over)
		h.ServeHTTP(w, r)
	}))
	defer srv.Close()
	res := make(chan string, 1)
	go func() {
		var buf bytes.Buffer
		if r, err := http.Get(srv.URL); err == nil {
			_, _ = buf.ReadFrom(r.Body)
			_ = r.Body.Close()
		}
		res <- buf.String()
	}()
	conn := <-handed
	<-over // the panic has reached the top
	_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
	require.NoError(t, err)
	require.Equal(t, "hello", <-res)
	require.NoError(t, conn.Close())
}

var handed = make(chan io.WriteCloser, 1)
