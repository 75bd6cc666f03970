package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// rooms are the chat's rooms by name. Each is a Manager, so a message in one room does not
// reach another.
type rooms map[string]*wsmanager.Manager

func newRooms(log *slog.Logger) rooms {
	return rooms{
		"ws":   newRoom(log.With("room", "ws")),
		"test": newRoom(log.With("room", "test")),
	}
}

// newRoom makes a room in which every member gets every message. The protocol is plain
// text: "<id> is now connected", "<id> said: <text>", "<id> disconnected".
func newRoom(log *slog.Logger) *wsmanager.Manager {
	return wsmanager.MustNew(wsmanager.Callbacks{
		OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
			return wsmanager.Accept{Value: r.URL.Query().Get("tag")}, nil
		},
		OnConnect: func(c *wsmanager.Conn) error {
			c.Manager().Broadcast(wsmanager.Text(c.ID() + " is now connected"))
			return nil
		},
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			if m.Type != wsmanager.TextMessage {
				return &wsmanager.CloseError{Code: wsmanager.StatusUnsupportedData, Reason: "this room speaks text"}
			}
			c.Manager().Broadcast(wsmanager.Text(c.ID() + " said: " + string(m.Payload)))
			return nil
		},
		OnClose: func(c *wsmanager.Conn, _ error) {
			c.Manager().Broadcast(wsmanager.Text(c.ID() + " disconnected"))
		},
	}, wsmanager.Options{Logger: log})
}

// shutdown drains all rooms concurrently.
func (rs rooms) shutdown(ctx context.Context) error {
	ended := make(chan error, len(rs))
	for _, room := range rs {
		go func() { ended <- room.Shutdown(ctx) }()
	}
	var errs []error
	for range rs {
		errs = append(errs, <-ended)
	}
	return errors.Join(errs...)
}
