// Echo is a target for load tools and conformance suites: /echo answers each message with
// itself, /broadcast sends each to all of its sockets. It logs errors only.
//
//	go run ./examples/echo -addr 127.0.0.1:9001 -h2
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
	"strings"
	"syscall"

	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
	_ "github.com/speakingtube/speakingtube/wsmanager/extendedconnect" // for -h2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program immediately
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "echo:", err)
		os.Exit(1)
	}
}

// drivers are the values of -driver.
var drivers = []wsmanager.Driver{wsmanager.DriverAuto, wsmanager.DriverGoroutine, wsmanager.DriverEventLoop}

// parseDriver returns the driver with the given name.
func parseDriver(name string) (wsmanager.Driver, error) {
	for _, d := range drivers {
		if d.String() == name {
			return d, nil
		}
	}
	return 0, fmt.Errorf("-driver is %q: it must be one of %s", name, driverNames())
}

func driverNames() string {
	var names []string
	for _, d := range drivers {
		names = append(names, d.String())
	}
	return strings.Join(names, ", ")
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("echo", flag.ContinueOnError)
	flags.SetOutput(stdout)
	addr := flags.String("addr", "127.0.0.1:8080", "the address to listen on")
	driverName := flags.String("driver", drivers[0].String(), "how connections wait for messages: "+driverNames())
	h2 := flags.Bool("h2", false, "speak HTTP/2 without TLS as well, including WebSockets over it (RFC 8441)")
	compress := flags.Bool("compress", false, "compress messages for clients that offer permessage-deflate")
	level := flags.Int("level", 1, "with -compress: 1 is quick, 9 makes the messages smallest")
	debug := flags.Bool("debug", false, "serve /sleep?ms=10, /block, /mem and /stats as well")
	if err := flags.Parse(args); err != nil {
		return err
	}
	driver, err := parseDriver(*driverName)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(stdout, &slog.HandlerOptions{Level: slog.LevelWarn}))
	done := make(chan struct{})
	defer close(done)
	endpoints, err := newEndpoints(log, config{driver, wsmanager.Compression{Enabled: *compress, Level: *level}, *debug}, done)
	if err != nil {
		return err
	}
	h, err := endpoints.app().Build()
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "serving http://%s (Ctrl-C ends)\n", ln.Addr())
	srv := &http.Server{Handler: h, Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(*h2)
	return pipeline.ServeListener(ctx, ln, srv, endpoints.drains...)
}
