package main

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"unicode/utf8"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/wsmanager"
)

// maxMessage is the maximum length of a notification in bytes.
const maxMessage = 4 << 10

// notifications go from the endpoint to the sockets. A sender needs no socket, and gets its
// own message only if it has one.
type notifications struct{ sockets *wsmanager.Manager }

func newNotifications(log *slog.Logger) *notifications {
	return &notifications{wsmanager.MustNew(wsmanager.Callbacks{
		OnMessage: func(*wsmanager.Conn, wsmanager.Message) error {
			return &wsmanager.CloseError{Code: wsmanager.StatusPolicyViolation, Reason: "these sockets only listen: send over HTTP"}
		},
	}, wsmanager.Options{Logger: log})}
}

// send pushes the parameter message to all sockets, and answers with their number:
// {"sent":3}. The parameter is in the query or, with POST, in a form.
//
// The article uses GET, which is convenient with curl. But a GET should change nothing: a
// link or an <img> on any site makes a visitor's browser send one, and clients repeat and
// prefetch it. A service of your own should only accept POST, which the page here uses.
func (n *notifications) send(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return err // a 413
		}
		return &middleware.Problem{Status: http.StatusBadRequest, Detail: "the form can't be read", Err: err}
	}
	message := r.Form.Get("message")
	switch {
	case message == "":
		return &middleware.Problem{Status: http.StatusBadRequest, Detail: "the parameter message is missing"}
	case len(message) > maxMessage:
		return &middleware.Problem{Status: http.StatusBadRequest, Detail: "the message is too long"}
	case !utf8.ValidString(message):
		return &middleware.Problem{Status: http.StatusBadRequest, Detail: "the message is not valid UTF-8"}
	}
	sent := n.sockets.Broadcast(wsmanager.Text(message))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	return json.NewEncoder(w).Encode(map[string]int{"sent": sent.Queued})
}
