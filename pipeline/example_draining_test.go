package pipeline_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"time"

	"github.com/speakingtube/speakingtube/pipeline"
)

// A stream of server-sent events ends when the client leaves or the server drains. The client
// connects again by itself, to another process.
func ExampleDraining() {
	events := make(chan string)
	http.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "no-store")
		stream := http.NewResponseController(w)
		alive := time.NewTicker(15 * time.Second)
		defer alive.Stop()
		_, err := io.WriteString(w, "retry: 1000\n\n") // milliseconds until the client connects again
		for err == nil {
			if err = stream.Flush(); err != nil {
				break
			}
			select {
			case e := <-events:
				_, err = fmt.Fprintf(w, "data: %s\n\n", e)
			case <-alive.C:
				_, err = io.WriteString(w, ": alive\n\n") // for proxies that close idle connections
			case <-pipeline.Draining(r.Context()):
				return
			case <-r.Context().Done():
				return
			}
		}
		log.Println(err)
	})
}
