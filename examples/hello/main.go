// Hello shows the pipeline in one small program: components around a terminal, branches by
// path, nested branches, and a branch by query.
//
//	go run ./examples/hello
//	curl http://127.0.0.1:8080/map1/nested
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

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program immediately
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "hello:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("hello", flag.ContinueOnError)
	flags.SetOutput(stdout)
	addr := flags.String("addr", "127.0.0.1:8080", "the address to listen on")
	if err := flags.Parse(args); err != nil {
		return err
	}
	h, err := app().Build()
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "serving http://%s\n", ln.Addr())
	return pipeline.ServeListener(ctx, ln, &http.Server{Handler: h})
}

func app() *pipeline.Builder {
	app := pipeline.New()
	app.Use(middleware.Recover(middleware.RecoverOptions{}))
	app.UseFunc(around("===", "==="))
	app.UseFunc(around(">>>>>> ", " <<<<<<"))
	app.Map("/map1", func(b *pipeline.Builder) {
		b.Map("/nested", func(b *pipeline.Builder) { b.RunFunc(say("Map Test 1 nested")) })
		b.RunFunc(say("Map Test 1"))
	})
	app.Map("/map2", func(b *pipeline.Builder) { b.RunFunc(say("Map Test 2")) })
	app.MapWhen(branch.Query("branch"), func(b *pipeline.Builder) { b.RunFunc(say("MapBranch Test")) })
	app.RunFunc(say("Hello World!"))
	return app
}

// around writes before and after the output of the rest of the pipeline.
func around(before, after string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		write(w, before)
		next.ServeHTTP(w, r)
		write(w, after)
	}
}

func say(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { write(w, text) }
}

func write(w http.ResponseWriter, s string) {
	_, _ = io.WriteString(w, s) // an error means that the client is gone
}
