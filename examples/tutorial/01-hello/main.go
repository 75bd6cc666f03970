// Step 1 of docs/tutorial.md: one handler.
package main

import (
	"fmt"
	"log"
	"net/http"

	"github.com/speakingtube/speakingtube/pipeline"
)

func main() {
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", newApp().MustBuild()))
}

func newApp() *pipeline.Builder {
	app := pipeline.New()
	app.RunFunc(hello)
	return app
}

func hello(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, "hello")
}
