package hub

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/token"
)

// writeRefusal answers a request with an error in the form of ASP.NET Core: the text without a line break at its end, because
// clients show it to their users. Without a text the clients show the status.
func writeRefusal(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Del("Content-Length") // of the answer that a handler in front has planned
	setRefusalType(h, text)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // an error means that the client has left
}

func setRefusalType(h http.Header, text string) {
	mediaType := "text/plain"
	if strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) {
		mediaType += "; charset=utf-8"
	}
	h.Set("Content-Type", mediaType)
	h.Set("X-Content-Type-Options", "nosniff")
}

// methodNotAllowed answers a request with another method than the allowed ones.
func methodNotAllowed(w http.ResponseWriter, allowed, text string) {
	w.Header().Set("Allow", allowed)
	writeRefusal(w, http.StatusMethodNotAllowed, text)
}

// handshakeWriter gives the refusals of wsmanager the form of writeRefusal.
type handshakeWriter struct {
	http.ResponseWriter
	status int // of a refusal whose text has not been written; 0 otherwise
}

// Unwrap is for http.ResponseController and for wsmanager, which looks for the server's writer.
func (w *handshakeWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter. A refusal waits for its text.
func (w *handshakeWriter) WriteHeader(status int) {
	if status >= http.StatusBadRequest {
		w.status = status
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter. wsmanager writes a refusal at once.
func (w *handshakeWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		return w.ResponseWriter.Write(p)
	}
	w.refuse(string(bytes.TrimSuffix(p, []byte("\n"))))
	return len(p), nil
}

// finish sends a refusal that has no text.
func (w *handshakeWriter) finish() {
	if w.status != 0 {
		w.refuse("")
	}
}

func (w *handshakeWriter) refuse(text string) {
	writeRefusal(w.ResponseWriter, w.status, text)
	w.status = 0
}

// serveOther answers requests without a WebSocket: attempts to use another transport, and stray requests. The texts are
// those of ASP.NET Core.
func (h *Hub) serveOther(w http.ResponseWriter, r *http.Request) {
	closeAfterUpgrade(w, r)
	switch r.Method {
	case http.MethodGet, http.MethodPost, http.MethodDelete:
	default:
		methodNotAllowed(w, "GET, POST, DELETE", "")
		return
	}
	id := query(r, "id")
	if id == "" {
		writeRefusal(w, http.StatusBadRequest, "Connection ID required")
		return
	}
	switch state := h.tickets.state(id); {
	case state == token.Invalid:
		writeRefusal(w, http.StatusNotFound, "No Connection with that ID")
	case r.Method == http.MethodDelete:
		writeRefusal(w, http.StatusBadRequest, "Cannot terminate this connection using the DELETE endpoint.")
	case state == token.Fresh:
		transport := "LongPolling"
		if strings.Contains(strings.ToLower(r.Header.Get("Accept")), "text/event-stream") {
			transport = "ServerSentEvents"
		}
		writeRefusal(w, http.StatusNotFound, transport+" transport not supported by this end point type")
	case r.Method == http.MethodPost:
		methodNotAllowed(w, "GET", "POST requests are not allowed for WebSocket connections.")
	default:
		writeRefusal(w, http.StatusBadRequest, "Cannot change transports mid-connection")
	}
}
