// Step 4 of docs/tutorial.md: a WebSocket, and a page that uses it.
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
	app.Use(middleware.StaticFiles(middleware.StaticFilesOptions{FS: page}))
	return app
}

func newChat() *wsmanager.Manager {
	return wsmanager.MustNew(wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			c.Manager().Broadcast(m) // to all connections, including the sender
			return nil
		},
	}, wsmanager.Options{})
}
