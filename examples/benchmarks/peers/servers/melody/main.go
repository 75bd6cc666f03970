// Melody is a server with github.com/olahol/melody.
package main

import (
	"net/http"

	"github.com/olahol/melody"

	"github.com/speakingtube/speakingtube/examples/benchmarks/peers/internal/peer"
)

func main() {
	echo, broadcast := melody.New(), melody.New()
	echo.HandleMessageBinary(func(s *melody.Session, p []byte) { _ = s.WriteBinary(p) })
	broadcast.HandleMessageBinary(func(_ *melody.Session, p []byte) { _ = broadcast.BroadcastBinary(p) })
	peer.Serve(serve(echo), serve(broadcast))
}

func serve(m *melody.Melody) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_ = m.HandleRequest(w, r) // the client receives the error
	}
}
