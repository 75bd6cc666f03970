// Step 3 of docs/tutorial.md: branches.
package main

import (
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/pipeline"
)

func main() {
	app := newApp()
	fmt.Println(app)
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", app.MustBuild()))
}

func newApp() *pipeline.Builder {
	app := pipeline.New()
	app.UseFunc(stopwatch)
	app.Map("/about", func(b *pipeline.Builder) {
		b.Map("/version", func(b *pipeline.Builder) {
			b.RunFunc(version)
		})
		b.RunFunc(where)
	})
	app.MapWhen(branch.Query("shout"), func(b *pipeline.Builder) {
		b.RunFunc(shout)
	})
	app.RunFunc(hello)
	return app
}

// where shows how a branch changes the path.
func where(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "a chat, built step by step; below %s you asked for %s\n", branch.PathBase(r), r.URL.Path)
}

func version(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "0.1") }
func shout(w http.ResponseWriter, _ *http.Request)   { fmt.Fprintln(w, "HELLO") }
func hello(w http.ResponseWriter, _ *http.Request)   { fmt.Fprintln(w, "hello") }

func stopwatch(w http.ResponseWriter, r *http.Request, next http.Handler) {
	start := time.Now()
	next.ServeHTTP(w, r)
	log.Printf("%s %s took %v", r.Method, r.URL.Path, time.Since(start))
}
