// Step 5 of docs/tutorial.md: rooms and names.
package main

import (
	"embed"
	"io/fs"
	"log"
	"net/http"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
)

//go:embed web
var web embed.FS

func main() {
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", newApp(newChat()).MustBuild()))
}

func newApp(chat *wsmanager.Manager) *pipeline.Builder {
	page, err := fs.Sub(web, "web")
	if err != nil {
		panic(err) // the name is a constant and valid
	}
	app := pipeline.New()
	app.Mount("/ws", chat)
	app.Map("/who", func(b *pipeline.Builder) { b.Run(who(chat)) })
	app.Use(middleware.StaticFiles(middleware.StaticFilesOptions{FS: page}))
	return app
}
