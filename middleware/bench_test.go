package middleware_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/pipeline/pipelinetest"
)

// The default stack with log handlers that are enabled and disabled, and its components one
// by one.
func BenchmarkStack(b *testing.B) {
	json := slog.New(slog.NewJSONHandler(io.Discard, nil))
	none := slog.New(slog.DiscardHandler)
	bare := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) })
	for _, bb := range []struct {
		name string
		mw   []pipeline.Middleware
	}{
		{"bare", nil},
		{"Recover", []pipeline.Middleware{middleware.Recover(middleware.RecoverOptions{})}},
		{"RequestID", []pipeline.Middleware{middleware.RequestID(middleware.RequestIDOptions{})}},
		{"ResponseTime", []pipeline.Middleware{middleware.ResponseTime}},
		{"AccessLog", []pipeline.Middleware{middleware.AccessLog(middleware.AccessLogOptions{Logger: json})}},
		{"AccessLog-off", []pipeline.Middleware{middleware.AccessLog(middleware.AccessLogOptions{Logger: none})}},
		{"stock", []pipeline.Middleware{
			middleware.Recover(middleware.RecoverOptions{}), middleware.RequestID(middleware.RequestIDOptions{}),
			middleware.ResponseTime, middleware.AccessLog(middleware.AccessLogOptions{Logger: json}),
		}},
		{"stock-log-off", []pipeline.Middleware{
			middleware.Recover(middleware.RecoverOptions{}), middleware.RequestID(middleware.RequestIDOptions{}),
			middleware.ResponseTime, middleware.AccessLog(middleware.AccessLogOptions{Logger: none}),
		}},
	} {
		app := pipeline.New().Run(bare)
		if bb.mw != nil {
			app = pipeline.New().Use(bb.mw...).Run(bare)
		}
		h := app.MustBuild()
		b.Run(bb.name, func(b *testing.B) {
			w := pipelinetest.NewHTTP1()
			r := httptest.NewRequest(http.MethodGet, "/items?page=2", nil)
			b.ReportAllocs()
			for b.Loop() {
				w.Reset()
				h.ServeHTTP(w, r)
			}
		})
	}
}
