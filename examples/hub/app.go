package main

import (
	"embed"
	"io/fs"
	"log/slog"
	"maps"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/hub/msgpack"
)

//go:embed web
var web embed.FS

// newHub makes the hub of all methods.
func newHub(log *slog.Logger) (*hub.Hub, error) {
	b := newBoard()
	m := methods()
	maps.Copy(m, b.methods())
	return hub.New(m, options(log, b))
}

func options(log *slog.Logger, b *board) hub.Options {
	return hub.Options{
		Logger:            log,
		Protocols:         []hub.Protocol{hub.JSON(), msgpack.New(msgpack.Options{})},
		Events:            events(),
		Disconnected:      b.disconnected,
		StatefulReconnect: true,
	}
}

// app is the whole pipeline.
func app(h *hub.Hub, log *slog.Logger) *pipeline.Builder {
	page, err := fs.Sub(web, "web")
	if err != nil {
		panic(err) // the name is a constant and valid
	}
	app := pipeline.New()
	app.UseNamed("recover", middleware.Recover(middleware.RecoverOptions{Logger: log}))
	app.UseNamed("access log", middleware.AccessLog(middleware.AccessLogOptions{
		Logger: log,
	}))
	app.UseNamed("health", middleware.HealthChecks(middleware.HealthChecksOptions{Path: "/health"}))
	app.Mount("/hub", h)
	app.UseNamed("page", middleware.StaticFiles(middleware.StaticFilesOptions{FS: page}))
	return app
}
