package main

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"unicode/utf8"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// member is the application's data of a connection.
type member struct{ name, room string }

func newChat(log *slog.Logger) *wsmanager.Manager {
	return wsmanager.MustNew(wsmanager.Callbacks{
		OnAccept:  accept,
		OnConnect: func(c *wsmanager.Conn) error { tell(c, " is here"); return nil },
		OnMessage: hear,
		OnClose:   func(c *wsmanager.Conn, _ error) { tell(c, " has left") },
	}, wsmanager.Options{Logger: log})
}

// accept decides before the upgrade whether a client may connect.
func accept(r *http.Request) (wsmanager.Accept, error) {
	m := member{name: r.FormValue("name"), room: room(r)}
	if !short(m.name) || !short(m.room) {
		return wsmanager.Accept{}, wsmanager.Reject(http.StatusBadRequest, "short names, please: ?name=Ann&room=tea")
	}
	return wsmanager.Accept{Value: m, Groups: []string{m.room}}, nil
}

// room returns the room that a request names.
func room(r *http.Request) string { return cmp.Or(r.FormValue("room"), "lobby") }

// short reports whether s can be shown to others: clients choose it.
func short(s string) bool { return 0 < len(s) && len(s) <= 30 && utf8.ValidString(s) }

// hear passes a member's message on.
func hear(c *wsmanager.Conn, m wsmanager.Message) error {
	if m.Type != wsmanager.TextMessage {
		return &wsmanager.CloseError{Code: wsmanager.StatusUnsupportedData, Reason: "text only"}
	}
	tell(c, ": "+string(m.Payload))
	return nil
}

// tell sends a text about a member to the member's room.
func tell(c *wsmanager.Conn, what string) {
	m, _ := wsmanager.Value[member](c)
	c.Manager().Group(m.room).Send(wsmanager.Text(m.name + what))
}

// who lists the names of the members of a room.
func who(chat *wsmanager.Manager) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var names []string
		for c := range chat.Group(room(r)).Local() {
			m, _ := wsmanager.Value[member](c)
			names = append(names, m.name)
		}
		slices.Sort(names)
		fmt.Fprintln(w, names)
	}
}
