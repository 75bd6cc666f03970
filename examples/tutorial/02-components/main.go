// Step 2 of docs/tutorial.md: components in front of the handler.
package main

import (
	"fmt"
	"log"
	"net/http"
	"strings"
	"time"

	"github.com/speakingtube/speakingtube/pipeline"
)

func main() {
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", newApp().MustBuild()))
}

func newApp() *pipeline.Builder {
	app := pipeline.New()
	app.UseFunc(stopwatch)
	app.UseFunc(noRobots)
	app.RunFunc(hello)
	return app
}

func stopwatch(w http.ResponseWriter, r *http.Request, next http.Handler) {
	start := time.Now() // on the way in
	next.ServeHTTP(w, r)
	log.Printf("%s %s took %v", r.Method, r.URL.Path, time.Since(start)) // on the way out
}

func noRobots(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if strings.Contains(r.UserAgent(), "bot") {
		http.Error(w, "people only", http.StatusForbidden)
		return // next is not called: the request ends here
	}
	next.ServeHTTP(w, r)
}

func hello(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, "hello")
}
