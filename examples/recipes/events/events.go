// Package events shows server-sent events in a pipeline: no library is needed. Timeout leaves
// such streams alone, as long as they begin in time; a drain of pipeline.Serve ends them.
//
// A compressor has to flush with the handler, as gzhttp does.
package events

import (
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/speakingtube/speakingtube/pipeline"
)

// Stream answers a request with the texts from a channel as server-sent events. It returns
// when the channel is closed, when the client leaves, or when the server drains: the client
// connects again after a second then, to another process. Each request needs a channel of its
// own. beat is the time between comments, which keep proxies from closing an idle connection.
func Stream(w http.ResponseWriter, r *http.Request, texts <-chan string, beat time.Duration) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	alive := time.NewTicker(beat)
	defer alive.Stop()
	for out := "retry: 1000\n\n"; ; {
		if _, err := io.WriteString(w, out); err != nil {
			return // the client has left
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		select {
		case text, open := <-texts:
			if !open {
				return
			}
			out = event(text)
		case <-alive.C:
			out = ": alive\n\n"
		case <-pipeline.Draining(r.Context()):
			return
		case <-r.Context().Done():
			return
		}
	}
}

// lineEnds are the line ends of the format; each line of a text is a field of its own.
var lineEnds = strings.NewReplacer("\r\n", "\ndata: ", "\r", "\ndata: ", "\n", "\ndata: ")

func event(text string) string { return "data: " + lineEnds.Replace(text) + "\n\n" }
