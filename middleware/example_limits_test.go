package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing/fstest"
	"time"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

// A handler passes its context on and returns when that has ended.
func ExampleTimeout() {
	app := pipeline.New()
	app.Use(middleware.Recover(middleware.RecoverOptions{Logger: slog.New(slog.DiscardHandler)}), middleware.Timeout(5*time.Millisecond))
	app.Run(middleware.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		return query(r.Context())
	}))
	show(app.MustBuild(), "/")
	// Output: 504 {"type":"about:blank","title":"Gateway Timeout","status":504}
}

// query is as slow as databases may be.
func query(ctx context.Context) error {
	<-ctx.Done()
	return fmt.Errorf("query: %w", ctx.Err())
}

// A handler that ignores its context is not stopped. This one answers after its time, and
// the client gets the answer.
func ExampleTimeout_misuse() {
	app := pipeline.New().Use(middleware.Timeout(5 * time.Millisecond))
	app.RunFunc(func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done() // work that takes longer and then ignores the error
		fmt.Fprintln(w, "late:", errors.Is(context.Cause(r.Context()), middleware.ErrTimeout))
	})
	show(app.MustBuild(), "/")
	// Output: 200 late: true
}

func ExampleDisableTimeout() {
	app := pipeline.New().Use(middleware.Timeout(time.Minute))
	app.RunFunc(func(w http.ResponseWriter, r *http.Request) {
		if !middleware.DisableTimeout(r) {
			return // the minute has passed already
		}
		fmt.Fprintln(w, "a report that may take hours:", r.Context().Err())
	})
	show(app.MustBuild(), "/")
	// Output: 200 a report that may take hours: <nil>
}

// The branch for uploads has its own limit.
func ExampleBodyLimit() {
	size := middleware.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(w, n, "bytes")
		return err
	})
	app := pipeline.New()
	app.Use(middleware.Recover(middleware.RecoverOptions{Logger: slog.New(slog.DiscardHandler)}), middleware.BodyLimit(10))
	app.Map("/upload", func(b *pipeline.Builder) { b.Use(middleware.BodyLimit(1 << 20)).Run(size) })
	app.Run(size)
	h := app.MustBuild()
	for _, target := range []string{"/", "/upload"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, target, strings.NewReader("more than ten bytes")))
		fmt.Print(w.Code, " ", w.Body)
	}
	// Output:
	// 413 {"type":"about:blank","title":"Request Entity Too Large","status":413}
	// 200 19 bytes
}

func ExampleBodyLimitWith() {
	app := pipeline.New()
	app.Use(middleware.Recover(middleware.RecoverOptions{Logger: slog.New(slog.DiscardHandler)}))
	app.Use(middleware.BodyLimitWith(10, middleware.BodyLimitOptions{Firm: true}))
	app.RunFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "begins to work") })
	w := httptest.NewRecorder()
	app.MustBuild().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader("more than ten bytes")))
	fmt.Print(w.Code, " ", w.Body)
	// Output: 413 {"type":"about:blank","title":"Request Entity Too Large","status":413}
}

// Files whose names change with their content may be cached without limit; clients
// revalidate all others, which costs a 304.
func ExampleStaticFilesOptions() {
	app := pipeline.New()
	app.Use(middleware.StaticFiles(middleware.StaticFilesOptions{
		FS: fstest.MapFS{"index.html": {Data: []byte("<p>home")}, "assets/app.4f2a.js": {Data: []byte("go()")}},
		Header: func(h http.Header, name string) {
			h.Set("Cache-Control", "no-cache")
			if strings.HasPrefix(name, "assets/") {
				h.Set("Cache-Control", "public, max-age=31536000, immutable")
			}
		},
	}))
	h := app.MustBuild()
	for _, target := range []string{"/", "/assets/app.4f2a.js"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
		again := httptest.NewRequest(http.MethodGet, target, nil)
		again.Header.Set("If-None-Match", w.Header().Get("Etag"))
		w2 := httptest.NewRecorder()
		h.ServeHTTP(w2, again)
		fmt.Println(w.Code, w2.Code, w.Header().Get("Cache-Control"))
	}
	// Output:
	// 200 304 no-cache
	// 200 304 public, max-age=31536000, immutable
}
