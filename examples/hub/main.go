// Hub is a server whose methods the official SignalR clients call, in JSON or in
// MessagePack, and a page that does so: a whiteboard for all who have it open.
//
//	cd examples/hub && go run .
//
// The hub is at /hub: point any client at it. methods.go has the methods to try,
// board_methods.go those of the page, events.go the events. With -typescript the program
// prints their types for a client in TypeScript.
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

	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends at once
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "hub:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("hub", flag.ContinueOnError)
	flags.SetOutput(stdout)
	addr := flags.String("addr", "127.0.0.1:8080", "the address to listen on")
	types := flags.Bool("typescript", false, "print the types for clients in TypeScript, and end")
	if err := flags.Parse(args); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(stdout, nil))
	h, err := newHub(log)
	if err != nil {
		return err
	}
	if *types {
		return hub.TypeScript(stdout, h)
	}
	handler, err := app(h, log).Build()
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "serving http://%s (Ctrl-C ends)\n", ln.Addr())
	return pipeline.ServeListener(ctx, ln, &http.Server{Handler: handler}, h.Shutdown)
}
