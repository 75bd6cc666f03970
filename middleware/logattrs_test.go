package middleware_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

func TestLogAttrs(t *testing.T) {
	forwarded := middleware.Forwarded(middleware.ForwardedOptions{Trusted: []string{"192.0.2.1"}, Headers: []string{"X-Forwarded-For"}})
	id := middleware.RequestID(middleware.RequestIDOptions{Incoming: true})
	for name, tt := range map[string]struct {
		components []pipeline.Middleware
		want       []slog.Attr
	}{
		"alone":      {nil, []slog.Attr{slog.Group("request", slog.String("remote", "192.0.2.1:1234"))}},
		"an id":      {[]pipeline.Middleware{id}, []slog.Attr{slog.Group("request", slog.String("id", "abc"), slog.String("remote", "192.0.2.1:1234"))}},
		"forwarded":  {[]pipeline.Middleware{forwarded}, []slog.Attr{slog.Group("request", slog.String("remote", "203.0.113.9:0")), slog.String("peer", "192.0.2.1:1234")}},
		"everything": {[]pipeline.Middleware{forwarded, id}, []slog.Attr{slog.Group("request", slog.String("id", "abc"), slog.String("remote", "203.0.113.9:0")), slog.String("peer", "192.0.2.1:1234")}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []slog.Attr
			b := pipeline.New()
			if len(tt.components) > 0 {
				b.Use(tt.components...)
			}
			h := b.RunFunc(func(_ http.ResponseWriter, r *http.Request) { got = middleware.LogAttrs(r) }).MustBuild()
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("X-Forwarded-For", "203.0.113.9")
			r.Header.Set("X-Request-Id", "abc")
			h.ServeHTTP(httptest.NewRecorder(), r)
			require.Equal(t, tt.want, got)
		})
	}
}
