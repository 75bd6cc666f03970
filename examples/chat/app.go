package main

import (
	"embed"
	"encoding/json"
	"io/fs"
	"log/slog"
	"net/http"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
)

//go:embed web
var web embed.FS

// app builds the whole pipeline.
func app(rooms rooms, log *slog.Logger) *pipeline.Builder {
	page, err := fs.Sub(web, "web")
	if err != nil {
		panic(err) // the name is a constant and valid
	}
	app := pipeline.New()
	app.UseNamed("recover", middleware.Recover(middleware.RecoverOptions{Logger: log}))
	app.UseNamed("request id", middleware.RequestID(middleware.RequestIDOptions{}))
	app.UseNamed("response time", middleware.ResponseTime)
	app.UseNamed("access log", middleware.AccessLog(middleware.AccessLogOptions{Logger: log}))
	app.UseNamed("health", middleware.HealthChecks(middleware.HealthChecksOptions{Path: "/health"}))
	app.Mount("/ws", rooms["ws"])
	app.Mount("/test", rooms["test"])
	app.Map("/members", func(b *pipeline.Builder) { b.RunFunc(rooms.members) })
	app.UseNamed("page", middleware.StaticFiles(middleware.StaticFilesOptions{FS: page}))
	return app
}

// members answers GET /members?room=ws with the ids of the connections in the room, as a
// JSON list. With &tag=… the header X-Member-Id contains the id of the connection with
// that tag, with which a page learns its own id.
func (rs rooms) members(w http.ResponseWriter, r *http.Request) {
	room, ok := rs[r.URL.Query().Get("room")]
	if !ok {
		http.Error(w, "no such room", http.StatusNotFound)
		return
	}
	ids := []string{}
	tag := r.URL.Query().Get("tag")
	for c := range room.All().Local() {
		ids = append(ids, c.ID())
		if t, _ := wsmanager.Value[string](c); tag != "" && t == tag {
			w.Header().Set("X-Member-Id", c.ID())
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(ids) // an error means that the client is gone
}
