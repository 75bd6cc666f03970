package middleware_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"testing/fstest"
	"time"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

// logger prints records without values that differ from run to run.
func logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			switch a.Key {
			case "time", "took", "remote", "stack":
				return slog.Attr{}
			}
			return a
		},
	}))
}

func show(h http.Handler, target string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
	fmt.Print(w.Code, " ", w.Body)
}

// The log has the cause; the client does not see it.
func ExampleRecover() {
	app := pipeline.New().Use(middleware.Recover(middleware.RecoverOptions{Logger: logger()}))
	app.RunFunc(func(http.ResponseWriter, *http.Request) { panic("no connection to db.internal") })
	show(app.MustBuild(), "/x")
	// Output:
	// level=ERROR msg="a handler panicked" request.method=GET request.path=/x panic="no connection to db.internal" response.status=500 response.started=false
	// 500 {"type":"about:blank","title":"Internal Server Error","status":500}
}

func ExampleAccessLog() {
	app := pipeline.New().Use(middleware.AccessLog(middleware.AccessLogOptions{Logger: logger()}))
	app.RunFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello\n") })
	show(app.MustBuild(), "/x?page=2&access_token=hunter2")
	// Output:
	// level=INFO msg=request request.method=GET request.url="/x?page=2&access_token=xxx" response.status=200 response.bytes=6
	// 200 hello
}

// Article 002's stopwatch: the time of the rest of the pipeline, at the end of the answer.
func ExampleStopwatch() {
	app := pipeline.New().Use(middleware.Stopwatch(func(w http.ResponseWriter, _ *http.Request, took time.Duration) {
		fmt.Fprintln(w, "Time needed was measured:", took > 0)
	}))
	app.RunFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "Hello World!") })
	show(app.MustBuild(), "/")
	// Output:
	// 200 Hello World!
	// Time needed was measured: true
}

// A request without a file is passed to the next handler.
func ExampleStaticFiles() {
	app := pipeline.New()
	app.Use(middleware.StaticFiles(middleware.StaticFilesOptions{
		FS: fstest.MapFS{"about.txt": {Data: []byte("about us\n")}},
	}))
	app.RunFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "no file:", r.URL.Path) })
	h := app.MustBuild()
	show(h, "/about.txt")
	show(h, "/about")
	// Output:
	// 200 about us
	// 200 no file: /about
}

// The client, the handlers and the log use the same id for the request.
func ExampleRequestID() {
	app := pipeline.New()
	app.Use(middleware.RequestID(middleware.RequestIDOptions{}))
	app.RunFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("same id:", middleware.RequestIDFrom(r.Context()) == w.Header().Get("X-Request-Id"))
		fmt.Println("digits:", len(middleware.RequestIDFrom(r.Context())))
	})
	app.MustBuild().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	// Output:
	// same id: true
	// digits: 32
}
