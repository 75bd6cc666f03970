// Step 6 of docs/tutorial.md: the components that every service needs.
package main

import (
	"embed"
	"io/fs"
	"log"
	"log/slog"
	"net/http"
	"os"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
)

//go:embed web
var web embed.FS

func main() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, nil))
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", newApp(newChat(logger), logger).MustBuild()))
}

func newApp(chat *wsmanager.Manager, log *slog.Logger) *pipeline.Builder {
	page, err := fs.Sub(web, "web")
	if err != nil {
		panic(err) // the name is a constant and valid
	}
	app := pipeline.New()
	app.UseNamed("recover", middleware.Recover(middleware.RecoverOptions{Logger: log}))
	app.UseNamed("request id", middleware.RequestID(middleware.RequestIDOptions{}))
	app.UseNamed("response time", middleware.ResponseTime)
	app.UseNamed("access log", middleware.AccessLog(middleware.AccessLogOptions{
		Logger: log,
		Quiet:  branch.Path("/health"), // requested every few seconds, so not worth a log line
	}))
	app.UseNamed("health", middleware.HealthChecks(middleware.HealthChecksOptions{Path: "/health"}))
	app.Mount("/ws", chat)
	app.Map("/who", func(b *pipeline.Builder) { b.Run(who(chat)) })
	app.Map("/oops", func(b *pipeline.Builder) { b.RunFunc(oops) })
	app.UseNamed("page", middleware.StaticFiles(middleware.StaticFilesOptions{FS: page}))
	return app
}

// oops is a handler with a bug.
func oops(_ http.ResponseWriter, r *http.Request) {
	_ = []string{"tea"}[len(r.Method)] // the index is out of range
}
