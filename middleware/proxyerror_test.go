package middleware_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

// proxyTo returns a reverse proxy to a server of its own.
func proxyTo(t *testing.T, upstream http.Handler) *httputil.ReverseProxy {
	t.Helper()
	srv := httptest.NewServer(upstream)
	t.Cleanup(srv.Close)
	to, err := url.Parse(srv.URL)
	require.NoError(t, err)
	return &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(to) },
		Transport:    &http.Transport{DisableKeepAlives: true},
		ErrorHandler: middleware.ProxyErrorHandler,
	}
}

// hijacking ends the connection without an answer.
var hijacking = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
})

func TestBodyLimitInFrontOfAReverseProxy(t *testing.T) {
	upstream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "from upstream")
	})
	proxy := proxyTo(t, upstream)
	byDefault := proxyTo(t, upstream)
	byDefault.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	limit := middleware.BodyLimit(1000)
	firm := middleware.BodyLimitWith(1000, middleware.BodyLimitOptions{Firm: true})
	for _, tt := range []struct {
		name  string
		stack []pipeline.Middleware
		end   http.Handler
	}{
		{"BodyLimit", []pipeline.Middleware{quiet(), limit}, proxy},
		{"BodyLimit above Recover", []pipeline.Middleware{limit, quiet()}, proxy},
		{"below Timeout", []pipeline.Middleware{quiet(), middleware.Timeout(time.Hour), limit}, proxy},
		{"Firm", []pipeline.Middleware{quiet(), firm}, proxy},
		{"Firm with another ErrorHandler", []pipeline.Middleware{quiet(), firm}, byDefault},
		{"Firm without Recover", []pipeline.Middleware{firm}, byDefault},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := pipeline.New().Use(tt.stack...).Run(tt.end).MustBuild()
			overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
				for _, chunked := range []bool{false, true} {
					for _, n := range []int{1001, 100_000} {
						res, _ := post(t, srv, "/", n, chunked)
						require.Equal(t, 413, res.StatusCode, "chunked=%v, %d bytes", chunked, n)
					}
					res, body := post(t, srv, "/", 1000, chunked)
					require.Equal(t, 200, res.StatusCode)
					require.Equal(t, "from upstream", body)
				}
			})
		})
	}
}

// A firm limit discards each kind of answer, but only of a response that has not started.
func TestFirmLimitOfChunkedBodies(t *testing.T) {
	firm := middleware.BodyLimitWith(10, middleware.BodyLimitOptions{Firm: true})
	drain := func(r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request){
		"a status":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) },
		"a text":       func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) },
		"a string":     func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") },
		"a copy":       func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, io.MultiReader(neverEmpty(10_000))) },
		"a flush":      func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() },
		"no answer":    func(http.ResponseWriter, *http.Request) {},
		"HandlerFunc":  reads.ServeHTTP,
		"an own 413":   func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "at most 10", 413) },
		"interim: 103": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103) },
	} {
		t.Run(name, func(t *testing.T) {
			var l logs
			h := pipeline.New().Use(middleware.Recover(middleware.RecoverOptions{Logger: l.logger()}), firm).RunFunc(func(w http.ResponseWriter, r *http.Request) {
				if name != "HandlerFunc" {
					drain(r)
				}
				answer(w, r)
			}).MustBuild()
			overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
				l.buf.Reset()
				res, _ := post(t, srv, "/", 50, true)
				require.Equal(t, 413, res.StatusCode)
				if name != "an own 413" {
					require.Len(t, l.records(t), 1, "logged once")
				}
			})
		})
	}
	started := pipeline.New().Use(quiet(), firm).RunFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(202)
		drain(r)
		_, _ = io.WriteString(w, "begun")
	}).MustBuild()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/", io.MultiReader(neverEmpty(50)))
	r.ContentLength = -1
	started.ServeHTTP(w, r)
	require.Equal(t, 202, w.Code)
	require.Equal(t, "begun", w.Body.String())
}

// neverEmpty is a source of n bytes.
func neverEmpty(n int64) io.Reader { return io.LimitReader(zeros{}, n) }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestProxyErrorHandler(t *testing.T) {
	slow := proxyTo(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	slowHeader := proxyTo(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	slowHeader.Transport = &http.Transport{ResponseHeaderTimeout: time.Millisecond, DisableKeepAlives: true}
	modified := proxyTo(t, text("x"))
	modified.ModifyResponse = func(*http.Response) error { return &middleware.Problem{Status: 451} }
	refused := proxyTo(t, text("x"))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	refused.Rewrite = func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: ln.Addr().String()}) }
	for _, tt := range []struct {
		name   string
		proxy  http.Handler
		status int
	}{
		{"connection refused", refused, 502},
		{"connection closed", proxyTo(t, hijacking), 502},
		{"no answer in time", slowHeader, 504},
		{"Timeout", middleware.Timeout(time.Millisecond)(slow), 504},
		{"a problem of ModifyResponse", modified, 451},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var seen error
			h := pipeline.New().Use(middleware.Recover(middleware.RecoverOptions{Logger: (&logs{}).logger(), Problem: func(_ *http.Request, err error) *middleware.Problem {
				seen = err
				return nil
			}})).Run(tt.proxy).MustBuild()
			overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
				res, _, err := get(t, srv, "/")
				require.NoError(t, err)
				require.Equal(t, tt.status, res.StatusCode)
				require.Error(t, seen)
				require.Equal(t, tt.name == "Timeout", errors.Is(seen, middleware.ErrTimeout))
			})
		})
	}
}

// A client that leaves before the answer is not a failure of the upstream server.
func TestProxyErrorHandlerOfAClientThatLeft(t *testing.T) {
	var l, access logs
	entered := make(chan struct{}, 1)
	proxy := proxyTo(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the context of a request with a body ends only then
		entered <- struct{}{}
		<-r.Context().Done()
	}))
	h, ended := ending(pipeline.New().Use(middleware.AccessLog(middleware.AccessLogOptions{Logger: access.logger()}),
		middleware.Recover(middleware.RecoverOptions{Logger: l.all()}), middleware.Timeout(time.Hour)).Run(proxy).MustBuild())
	overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
		l.buf.Reset()
		access.buf.Reset()
		leave(t, srv, entered, nil)
		<-ended
		require.Equal(t, "DEBUG", l.records(t)[0]["level"])
		require.EqualValues(t, 499, group(access.records(t)[0], "response")["status"])
	})
}
