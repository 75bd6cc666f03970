package middleware_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

// Each test here is for a bug that has been fixed.

var silent = slog.New(slog.DiscardHandler)

// Output in a buffer above can't be undone, although the response has not started.
func TestRecoverBelowABufferMadeACorruptAnswer(t *testing.T) {
	failing := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !r.URL.Query().Has("early") {
			_, _ = io.WriteString(w, "half of it;")
		}
		panic("oops")
	})
	inner := middleware.Recover(middleware.RecoverOptions{Logger: silent})(failing)
	h := middleware.ResponseTime(http.TimeoutHandler(inner, time.Minute, "too slow"))
	overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
		_, _, err := get(t, srv, "/")
		require.Error(t, err, "a broken response, not a wrong one")
		res, body, err := get(t, srv, "/?early")
		require.NoError(t, err)
		require.Equal(t, 500, res.StatusCode)
		require.Equal(t, "500 Internal Server Error\n", body)
	})
}

func TestRecoverKeptHeadersOfTheLostAnswer(t *testing.T) {
	h := middleware.Recover(middleware.RecoverOptions{Logger: silent})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for _, name := range []string{"Content-Disposition", "Content-Language", "Transfer-Encoding", "Upgrade", "Sec-WebSocket-Accept", "Accept-Ranges", "ETag"} {
			w.Header().Set(name, "x")
		}
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
		w.Header().Set("X-Request-Id", "abc")
		panic("oops")
	}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, http.Header{
		"Content-Security-Policy": {"default-src 'self'"}, "X-Request-Id": {"abc"}, "Cache-Control": {"no-store"},
		"Content-Type": {"application/problem+json"}, "Content-Length": {"68"}, "Vary": {"Accept"}, "X-Content-Type-Options": {"nosniff"},
	}, w.Header())
}

func TestSecondPanicLeftTheClientWithoutAnAnswer(t *testing.T) {
	badCallback := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		if err := res.OnStarting(func(http.Header, int) { panic("in a callback") }); err != nil {
			panic(err)
		}
		next.ServeHTTP(w, r)
	})
	fail := func(http.ResponseWriter, *http.Request) { panic("first") }
	for name, h := range map[string]func(*logs) http.Handler{
		"callback": func(l *logs) http.Handler {
			return pipeline.New().Use(middleware.Recover(middleware.RecoverOptions{Logger: l.logger()}), badCallback).RunFunc(fail).MustBuild()
		},
		"Handler": func(l *logs) http.Handler {
			return pipeline.New().Use(middleware.Recover(middleware.RecoverOptions{
				Logger:  l.logger(),
				Handler: func(http.ResponseWriter, *http.Request, *middleware.Problem, error) { panic("in the handler") },
			})).RunFunc(fail).MustBuild()
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := &logs{}
			srv := httptest.NewServer(counted(h(l)))
			defer srv.Close()
			res, body, err := get(t, srv, "/")
			require.NoError(t, err)
			require.Equal(t, 500, res.StatusCode)
			require.Equal(t, "500 Internal Server Error\n", body)
			require.Len(t, l.records(t), 2, "both are logged")
		})
	}
}

func TestAccessLogBelowATimeout(t *testing.T) {
	for _, outlives := range []bool{false, true} {
		t.Run(fmt.Sprintf("outlives it: %v", outlives), func(t *testing.T) {
			l := &logs{}
			answered, received := make(chan struct{}), make(chan struct{})
			watched := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
				_ = res.OnStarting(func(http.Header, int) { close(answered) }) // the response has not started
				next.ServeHTTP(w, r)
			})
			handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				<-answered // not before: http.TimeoutHandler selects either if both are ready
				if outlives {
					<-received
				}
			})
			h := watched(middleware.ResponseTime(http.TimeoutHandler(middleware.AccessLog(middleware.AccessLogOptions{Logger: l.logger()})(handler), 20*time.Millisecond, "slow")))
			srv := httptest.NewServer(counted(h))
			res, body, err := get(t, srv, "/")
			require.NoError(t, err)
			require.Equal(t, 503, res.StatusCode)
			require.Equal(t, "slow", body)
			close(received)
			srv.Close()
			rec := l.records(t)[0]
			require.EqualValues(t, 503, group(rec, "response")["status"])
			require.Nil(t, group(rec, "response")["aborted"])
		})
	}
}

func TestAccessLogOfADetachedRequest(t *testing.T) {
	var detached *http.Request
	ran := false
	middleware.ResponseTime(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		detached = r.WithContext(context.WithoutCancel(r.Context()))
	})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	middleware.AccessLog(middleware.AccessLogOptions{Logger: silent})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran = true })).
		ServeHTTP(httptest.NewRecorder(), detached)
	require.True(t, ran)
}

func TestAccessLogOfAClientThatLeftInTheMiddle(t *testing.T) {
	l := &logs{}
	ctx, leave := context.WithCancel(t.Context())
	h := middleware.AccessLog(middleware.AccessLogOptions{Logger: l.logger()})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half of it")
		leave()
	}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx))
	rec := l.records(t)[0]
	require.EqualValues(t, 200, group(rec, "response")["status"])
	require.Equal(t, true, group(rec, "response")["aborted"])
	require.Equal(t, "INFO", rec["level"])
}

// The log has the path that the client requested, not the one after branches and rewrites.
func TestLogsHadAPathThatNobodyAskedFor(t *testing.T) {
	l := &logs{}
	rewrite := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.URL.Path = "/rewritten"
			next.ServeHTTP(w, r)
		})
	}
	inner := alice3(
		middleware.AccessLog(middleware.AccessLogOptions{Logger: l.logger()}),
		rewrite,
		middleware.Recover(middleware.RecoverOptions{Logger: l.logger()}),
	)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("oops") }))
	srv := httptest.NewServer(counted(branch.Map("/admin", inner)(http.NotFoundHandler())))
	_, _, err := get(t, srv, "/admin/users%2F1?x=1")
	require.NoError(t, err)
	srv.Close()
	records := l.records(t)
	require.Equal(t, "/admin/users%2F1", group(records[0], "request")["path"])
	require.Equal(t, "/admin/users%2F1?x=1", group(records[1], "request")["url"])
}

func alice3(a, b, c pipeline.Middleware) pipeline.Middleware {
	return func(h http.Handler) http.Handler { return a(b(c(h))) }
}
