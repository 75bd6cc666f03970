// Healthchecks is a service with two ports: the public one says hello, the management port
// reports the health of the service. /live and /ready on the public port give an
// orchestrator only the necessary information.
//
//	go run ./examples/healthchecks
//	curl http://127.0.0.1:8080/ready
//	curl http://127.0.0.1:8081/health
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
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
		fmt.Fprintln(os.Stderr, "healthchecks:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("healthchecks", flag.ContinueOnError)
	flags.SetOutput(stdout)
	addr := flags.String("addr", "127.0.0.1:8080", "the address of the service")
	adminAddr := flags.String("admin-addr", "127.0.0.1:8081", "the address for operators: keep it private")
	grace := flags.Duration("grace", 0, "how long to serve after the signal, not ready, so that load balancers notice")
	if err := flags.Parse(args); err != nil {
		return err
	}
	// Both ports are opened before serving, so that an error is found at once, and because
	// the pipeline needs the second port.
	public, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	defer public.Close() // usually the second close: the server closes it too
	admin, err := net.Listen("tcp", *adminAddr)
	if err != nil {
		return err
	}
	defer admin.Close()
	var draining drain
	h, err := app(admin.Addr().(*net.TCPAddr).Port, &draining).Build()
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "serving http://%s, its health on http://%s/health (Ctrl-C ends)\n", public.Addr(), admin.Addr())
	serving, end := draining.before(ctx, *grace)
	defer end()
	return serveBoth(serving, h, public, admin)
}

// serveBoth serves the handler on both listeners until ctx ends, and drains them together.
// If one stops by itself, so does the other.
func serveBoth(ctx context.Context, h http.Handler, listeners ...net.Listener) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, len(listeners))
	for _, ln := range listeners {
		go func() {
			defer stop()
			ended <- pipeline.ServeListener(ctx, ln, &http.Server{Handler: h})
		}()
	}
	var errs []error
	for range listeners {
		errs = append(errs, <-ended)
	}
	return errors.Join(errs...)
}

func app(adminPort int, draining *drain) *pipeline.Builder {
	checks := []*middleware.HealthCheck{
		{Name: "drain", Tags: []string{"ready"}, Check: draining.check},
		{Name: "goroutines", Check: goroutines},
	}
	app := pipeline.New()
	app.Use(
		middleware.Recover(middleware.RecoverOptions{}),
		// Is the process alive? No other check may influence this, or an outage elsewhere
		// restarts the process.
		middleware.HealthChecks(middleware.HealthChecksOptions{Path: "/live"}),
		// Should it get requests?
		middleware.HealthChecks(middleware.HealthChecksOptions{Path: "/ready", Checks: checks, Tags: []string{"ready"}}),
		// All checks, for operators.
		middleware.HealthChecks(middleware.HealthChecksOptions{
			Path: "/health", Port: adminPort, Checks: checks, JSON: true,
			DangerouslyShowErrors: true, // the port is private
		}),
	)
	app.RunFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, "Hello World!\n") // an error means that the client is gone
	})
	return app
}
