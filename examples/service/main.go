// Service is an application as it runs in production: a JSON API, an administration behind a
// token, a single-page site, server-sent events, a WebSocket chat, health checks, metrics for
// Prometheus, request ids in the log, CORS, and a drain.
//
//	go run ./examples/service
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program immediately
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "service:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("service", flag.ContinueOnError)
	flags.SetOutput(stdout)
	addr := flags.String("addr", "127.0.0.1:8080", "the address to listen on")
	origin := flags.String("origin", "https://app.example.com", "the origin of pages elsewhere that may use the API and the chat")
	if err := flags.Parse(args); err != nil {
		return err
	}
	log := slog.New(middleware.LogHandler(slog.NewJSONHandler(stdout, nil)))
	s := newService(log, *origin, os.Getenv("ADMIN_TOKEN"))
	h, err := s.handler()
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "serving http://%s (Ctrl-C ends)\n", ln.Addr())
	return pipeline.ServeListener(ctx, ln, &http.Server{Handler: h}, s.chat.Shutdown)
}
