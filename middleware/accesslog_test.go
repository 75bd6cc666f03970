package middleware_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

func TestAccessLog(t *testing.T) {
	quiet := middleware.Recover(middleware.RecoverOptions{Logger: slog.New(slog.DiscardHandler)})
	app := func(l *logs) http.Handler {
		b := pipeline.New().Use(quiet, middleware.AccessLog(middleware.AccessLogOptions{Logger: l.logger()}))
		b.Map("/teapot", func(b *pipeline.Builder) {
			b.RunFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "short and stout", http.StatusTeapot) })
		})
		b.Map("/empty", func(b *pipeline.Builder) { b.RunFunc(func(http.ResponseWriter, *http.Request) {}) })
		b.Map("/panic", func(b *pipeline.Builder) { b.RunFunc(func(http.ResponseWriter, *http.Request) { panic("oops") }) })
		b.Map("/abort", func(b *pipeline.Builder) {
			b.RunFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		})
		b.Map("/cut", func(b *pipeline.Builder) {
			b.RunFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "half")
				_ = http.NewResponseController(w).Flush()
				panic("oops")
			})
		})
		return b.Run(text("hello")).MustBuild()
	}
	for _, tt := range []struct {
		name, target, url, level string
		status                   int
		bytes                    float64
		aborted                  any
	}{
		{"answered", "/x", "/x", "INFO", 200, 5, nil},
		{"another status", "/teapot", "/teapot", "INFO", 418, 16, nil},
		{"empty", "/empty", "/empty", "INFO", 200, 0, nil},
		{"a panic that Recover answered", "/panic", "/panic", "ERROR", 500, 26, nil},
		{"aborted before the start", "/abort", "/abort", "ERROR", 0, 0, true},
		{"cut in the middle", "/cut", "/cut", "ERROR", 200, 4, true},
		{"secrets are redacted", "/x?a=1&token=hunter2&Access_Token=hunter2&b=%2F", "/x?a=1&token=xxx&Access_Token=xxx&b=%2F", "INFO", 200, 5, nil},
		{"an escaped secret", "/x?t%6fken=hunter2", "/x?t%6fken=xxx", "INFO", 200, 5, nil},
		{"a connection token", "/hub?id=stct_abc&x=stct&ID=5", "/hub?id=xxx&x=stct&ID=5", "INFO", 200, 5, nil},
		{"an escaped connection token", "/hub?transport=1&Id=s%74ct%5fabc", "/hub?transport=1&Id=xxx", "INFO", 200, 5, nil},
		{"another id", "/hub?id=abc&id=xstct_&id=", "/hub?id=abc&id=xstct_&id=", "INFO", 200, 5, nil},
		{"an escaped path", "/a%0Ab", "/a%0Ab", "INFO", 200, 5, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := &logs{}
			overBothProtocols(t, app(l), func(t *testing.T, srv *httptest.Server) {
				l.buf.Reset()
				_, _, err := get(t, srv, tt.target)
				require.Equal(t, tt.aborted == true, err != nil)
				srv.Close() // waits for the end of the request
				records := l.records(t)
				require.Len(t, records, 1)
				rec := records[0]
				require.Equal(t, "request", rec["msg"])
				require.Equal(t, tt.level, rec["level"])
				request, response := group(rec, "request"), group(rec, "response")
				require.Equal(t, "GET", request["method"])
				require.Equal(t, tt.url, request["url"])
				require.Contains(t, request["remote"], "127.0.0.1:")
				require.EqualValues(t, tt.status, response["status"])
				require.Equal(t, tt.bytes, response["bytes"])
				require.Equal(t, tt.aborted, response["aborted"])
				require.Positive(t, response["took"])
			})
		})
	}
}

// A client could fill the log with as many bytes as net/http accepts for headers, at each
// request.
func TestAccessLogHadAllOfALongURL(t *testing.T) {
	l := &logs{}
	h := pipeline.New().Use(middleware.AccessLog(middleware.AccessLogOptions{Logger: l.logger()})).Run(text("hello")).MustBuild()
	overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
		l.buf.Reset()
		_, _, err := get(t, srv, "/x?"+strings.Repeat("y", 50_000))
		require.NoError(t, err)
		srv.Close() // waits for the end of the request
		url := group(l.records(t)[0], "request")["url"].(string)
		require.Less(t, len(url), 2100)
		require.True(t, strings.HasPrefix(url, "/x?yyyy") && strings.HasSuffix(url, " …"), url)
	})
}

func TestAccessLogOfAClientThatLeft(t *testing.T) {
	l := &logs{}
	ctx, leave := context.WithCancel(t.Context())
	h := middleware.AccessLog(middleware.AccessLogOptions{Logger: l.logger(), RedactQuery: []string{}})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { leave() }))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/x?token=shown", nil).WithContext(ctx))
	rec := l.records(t)[0]
	request, response := group(rec, "request"), group(rec, "response")
	require.EqualValues(t, 499, response["status"])
	require.Equal(t, true, response["aborted"])
	require.Equal(t, "INFO", rec["level"])
	require.Equal(t, "/x?token=shown", request["url"], "an empty list redacts nothing")
}

// A list that adds names keeps the defaults; a list that replaces them keeps connection tokens
// secret, unless it is empty.
func TestAccessLogRedactsFurtherParameters(t *testing.T) {
	const target = "/x?token=a&session=b&id=stct_c&id=d"
	for name, row := range map[string]struct {
		opts middleware.AccessLogOptions
		want string
	}{
		"default":            {middleware.AccessLogOptions{}, "/x?token=xxx&session=b&id=xxx&id=d"},
		"added":              {middleware.AccessLogOptions{RedactQueryAlso: []string{"SESSION"}}, "/x?token=xxx&session=xxx&id=xxx&id=d"},
		"replaced":           {middleware.AccessLogOptions{RedactQuery: []string{"session"}}, "/x?token=a&session=xxx&id=xxx&id=d"},
		"replaced and added": {middleware.AccessLogOptions{RedactQuery: []string{"session"}, RedactQueryAlso: []string{"id"}}, "/x?token=a&session=xxx&id=xxx&id=xxx"},
		"nothing":            {middleware.AccessLogOptions{RedactQuery: []string{}}, target},
		"added to nothing":   {middleware.AccessLogOptions{RedactQuery: []string{}, RedactQueryAlso: []string{"session"}}, "/x?token=a&session=xxx&id=xxx&id=d"},
	} {
		t.Run(name, func(t *testing.T) {
			l := &logs{}
			row.opts.Logger = l.logger()
			middleware.AccessLog(row.opts)(text("hello")).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, target, nil))
			require.Equal(t, row.want, group(l.records(t)[0], "request")["url"])
		})
	}
}

// The route and the id are known only to components below, and are logged anyway.
func TestAccessLogOfWhatIsKnownBelow(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("GET /items/{id}", text("item"))
	for _, tt := range []struct {
		name  string
		below func(*pipeline.Builder)
		route any
	}{
		{"a ServeMux at the end", func(b *pipeline.Builder) { b.Run(mux) }, "GET /items/{id}"},
		{"a component says", func(b *pipeline.Builder) {
			b.RunFunc(func(_ http.ResponseWriter, r *http.Request) {
				res, _ := pipeline.ResponseFrom(r.Context())
				res.SetRoute("said")
			})
		}, "said"},
		{"no route is set", func(b *pipeline.Builder) { b.Run(text("x")) }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := &logs{}
			b := pipeline.New().Use(middleware.AccessLog(middleware.AccessLogOptions{Logger: l.logger()}), middleware.RequestID(middleware.RequestIDOptions{}))
			tt.below(b)
			w := httptest.NewRecorder()
			b.MustBuild().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/items/7", nil))
			request := group(l.records(t)[0], "request")
			require.Equal(t, tt.route, request["route"])
			require.Equal(t, w.Header().Get("X-Request-Id"), request["id"])
			require.Len(t, request["id"], 32)
		})
	}
}

func TestAccessLogOptions(t *testing.T) {
	l := &logs{}
	h := pipeline.New().Use(middleware.AccessLog(middleware.AccessLogOptions{
		Logger: l.logger(), // level Info
		Quiet:  branch.Path("/health"),
		Attrs: func(r *http.Request, res *pipeline.Response) []slog.Attr {
			return []slog.Attr{slog.String("agent", r.UserAgent()), slog.Bool("ok", res.Status() < 400)}
		},
	})).RunFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("ill") {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}).MustBuild()
	for _, target := range []string{"/health", "/x", "/health?ill"} {
		r := httptest.NewRequest(http.MethodGet, target, nil)
		r.Header.Set("User-Agent", "tester")
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	records := l.records(t)
	require.Len(t, records, 2, "health checks are quiet as long as all is well")
	require.Equal(t, "/x", group(records[0], "request")["url"])
	require.Equal(t, "tester", records[0]["agent"])
	require.Equal(t, true, records[0]["ok"])
	require.Equal(t, "/health?ill", group(records[1], "request")["url"])
	require.Equal(t, "ERROR", records[1]["level"])
}

// The record's context is the request's, so a handler can take a trace from it. A record
// that a handler keeps does not change.
func TestAccessLogHandlers(t *testing.T) {
	type key struct{}
	kept := &keeping{}
	h := middleware.AccessLog(middleware.AccessLogOptions{Logger: slog.New(kept)})(text("x"))
	for _, target := range []string{"/first", "/second"} {
		r := httptest.NewRequest(http.MethodGet, target, nil)
		h.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithValue(r.Context(), key{}, target)))
	}
	for i, target := range []string{"/first", "/second"} {
		require.Equal(t, target, kept.contexts[i].Value(key{}))
		l := &logs{}
		require.NoError(t, l.logger().Handler().Handle(t.Context(), kept.records[i]))
		require.Equal(t, target, group(l.records(t)[0], "request")["url"])
	}
}

// keeping is a slog.Handler that works later, as asynchronous ones do.
type keeping struct {
	contexts []context.Context
	records  []slog.Record
}

func (k *keeping) Enabled(context.Context, slog.Level) bool { return true }
func (k *keeping) Handle(ctx context.Context, r slog.Record) error {
	k.contexts, k.records = append(k.contexts, ctx), append(k.records, r)
	return nil
}
func (k *keeping) WithAttrs([]slog.Attr) slog.Handler { return k }
func (k *keeping) WithGroup(string) slog.Handler      { return k }
