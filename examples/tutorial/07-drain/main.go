// Steps 7 and 8 of docs/tutorial.md: the end of the process, and tests.
package main

import (
	"context"
	"embed"
	"io/fs"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
)

//go:embed web
var web embed.FS

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program immediately

	ln, err := net.Listen("tcp", "127.0.0.1:8080")
	if err != nil {
		log.Fatal(err)
	}
	if err := run(ctx, ln, slog.New(slog.NewTextHandler(os.Stdout, nil))); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends, and then until all clients have got a close frame.
func run(ctx context.Context, ln net.Listener, log *slog.Logger) error {
	chat := newChat(log)
	h, err := newApp(chat, log).Build()
	if err != nil {
		return err
	}
	return pipeline.ServeListener(ctx, ln, &http.Server{Handler: h}, chat.Shutdown)
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
		Quiet:  branch.Path("/health"),
	}))
	app.UseNamed("health", middleware.HealthChecks(middleware.HealthChecksOptions{Path: "/health"}))
	app.Mount("/ws", chat)
	app.Map("/who", func(b *pipeline.Builder) { b.Run(who(chat)) })
	app.UseNamed("page", middleware.StaticFiles(middleware.StaticFilesOptions{FS: page}))
	return app
}
