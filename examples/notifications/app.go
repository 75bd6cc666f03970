package main

import (
	"embed"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

//go:embed web
var web embed.FS

// app builds the whole pipeline.
func app(n *notifications, log *slog.Logger) *pipeline.Builder {
	page, err := fs.Sub(web, "web")
	if err != nil {
		panic(err) // the name is a constant and valid
	}
	// The patterns contain the path below /api; the log has the whole route.
	api := http.NewServeMux()
	api.Handle("GET /messages/sendmessage", middleware.HandlerFunc(n.send))
	api.Handle("POST /messages/sendmessage", middleware.HandlerFunc(n.send))

	app := pipeline.New()
	app.UseNamed("recover", middleware.Recover(middleware.RecoverOptions{Logger: log}))
	app.UseNamed("response time", middleware.ResponseTime)
	app.UseNamed("access log", middleware.AccessLog(middleware.AccessLogOptions{Logger: log}))
	app.Map("/api", func(b *pipeline.Builder) {
		b.UseNamed("timeout", middleware.Timeout(10*time.Second))
		b.UseNamed("body limit", middleware.BodyLimit(16<<10))
		b.UseNamed("same origin", http.NewCrossOriginProtection().Handler) // for POST
		b.UseNamed("endpoints", middleware.Endpoints(api))
	})
	app.Mount("/notifications", n.sockets)
	app.UseNamed("page", middleware.StaticFiles(middleware.StaticFilesOptions{
		FS:     page,
		Header: func(h http.Header, _ string) { h.Set("Cache-Control", "no-cache") }, // the ETag makes it a 304
	}))
	return app
}
