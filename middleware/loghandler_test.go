package middleware_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/slogtest"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

type requestValue struct{ path string }

func (v requestValue) LogValue() slog.Value { return slog.GroupValue(slog.String("path", v.path)) }

func TestLogHandlerAddsTheRequestID(t *testing.T) {
	for _, tt := range []struct {
		name string
		log  func(l *slog.Logger, ctx context.Context)
		want string
	}{
		{"a record", func(l *slog.Logger, ctx context.Context) { l.InfoContext(ctx, "m", "a", 1) }, `{"msg":"m","a":1,"request":{"id":"ID"}}`},
		{"a context derived", func(l *slog.Logger, ctx context.Context) {
			l.InfoContext(context.WithValue(ctx, requestValue{}, 1), "m")
		}, `{"msg":"m","request":{"id":"ID"}}`},
		{"a context without cancellation", func(l *slog.Logger, ctx context.Context) { l.InfoContext(context.WithoutCancel(ctx), "m") }, `{"msg":"m","request":{"id":"ID"}}`},
		{"another context", func(l *slog.Logger, _ context.Context) { l.InfoContext(context.Background(), "m", "a", 1) }, `{"msg":"m","a":1}`},
		{"attributes", func(l *slog.Logger, ctx context.Context) { l.With("b", 2).InfoContext(ctx, "m", "a", 1) }, `{"msg":"m","b":2,"a":1,"request":{"id":"ID"}}`},
		{"a group", func(l *slog.Logger, ctx context.Context) { l.WithGroup("g").InfoContext(ctx, "m", "a", 1) }, `{"msg":"m","g":{"a":1},"request":{"id":"ID"}}`},
		{"groups with attributes", func(l *slog.Logger, ctx context.Context) {
			l.With("z", 0).WithGroup("g").With("b", 2).WithGroup("h").With("c", 3).InfoContext(ctx, "m", "a", 1)
		}, `{"msg":"m","z":0,"g":{"b":2,"h":{"c":3,"a":1}},"request":{"id":"ID"}}`},
		{"a group that stays empty", func(l *slog.Logger, ctx context.Context) { l.WithGroup("g").InfoContext(ctx, "m") }, `{"msg":"m","request":{"id":"ID"}}`},
		{"a group of the name", func(l *slog.Logger, ctx context.Context) {
			l.InfoContext(ctx, "m", slog.Group("request", "path", "/x"))
		}, `{"msg":"m","request":{"path":"/x","id":"ID"}}`},
		{"an id that is there", func(l *slog.Logger, ctx context.Context) {
			l.InfoContext(ctx, "m", slog.Group("request", "id", "other"))
		}, `{"msg":"m","request":{"id":"other"}}`},
		{"a group of the name in the logger", func(l *slog.Logger, ctx context.Context) {
			l.With(slog.Group("request", "path", "/x"), "b", 2).InfoContext(ctx, "m", slog.Group("request", "user", "u"))
		}, `{"msg":"m","b":2,"request":{"path":"/x","user":"u","id":"ID"}}`},
		{"the same without a request", func(l *slog.Logger, _ context.Context) {
			l.With(slog.Group("request", "path", "/x")).InfoContext(context.Background(), "m")
		}, `{"msg":"m","request":{"path":"/x"}}`},
		{"a value of the name that becomes a group", func(l *slog.Logger, ctx context.Context) {
			l.With("request", requestValue{"/x"}).InfoContext(ctx, "m")
		}, `{"msg":"m","request":{"path":"/x","id":"ID"}}`},
		{"the same in the record", func(l *slog.Logger, ctx context.Context) {
			l.InfoContext(ctx, "m", "request", requestValue{"/x"})
		}, `{"msg":"m","request":{"path":"/x","id":"ID"}}`},
		{"an open group of the name", func(l *slog.Logger, ctx context.Context) { l.WithGroup("request").InfoContext(ctx, "m", "a", 1) }, `{"msg":"m","request":{"a":1,"id":"ID"}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			logger := slog.New(middleware.LogHandler(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
				if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
					return slog.Attr{}
				}
				return a
			}})))
			id := ""
			h := pipeline.New().Use(middleware.RequestID(middleware.RequestIDOptions{})).RunFunc(func(_ http.ResponseWriter, r *http.Request) {
				id = middleware.RequestIDFrom(r.Context())
				tt.log(logger, r.Context())
			}).MustBuild()
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
			require.NotEmpty(t, id)
			require.Equal(t, tt.want, strings.ReplaceAll(strings.TrimSpace(out.String()), id, "ID"))
		})
	}
}

// The rules of slog for handlers hold with an id and without.
func TestLogHandlerIsASlogHandler(t *testing.T) {
	var out bytes.Buffer
	slogtest.Run(t, func(*testing.T) slog.Handler {
		out.Reset()
		return middleware.LogHandler(slog.NewJSONHandler(&out, nil))
	}, func(t *testing.T) map[string]any {
		record := map[string]any{}
		require.NoError(t, json.Unmarshal(out.Bytes(), &record))
		return record
	})
	require.PanicsWithValue(t, "middleware.LogHandler: the handler is nil", func() { middleware.LogHandler(nil) })
}
