// Coder is a server with github.com/coder/websocket, written like its chat example: the
// handler of a connection writes the broadcasts that it receives from a channel.
package main

import (
	"context"
	"net/http"

	"github.com/coder/websocket"

	"github.com/speakingtube/speakingtube/examples/benchmarks/peers/internal/peer"
)

type message struct {
	kind websocket.MessageType
	p    []byte
}

type member struct {
	conn *websocket.Conn
	send chan message
}

func main() {
	var group peer.Group[*member]
	peer.Serve(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = conn.CloseNow() }()
		ctx := context.Background() // the request's context would cost a watcher for each call
		for {
			kind, p, err := conn.Read(ctx)
			if err != nil || conn.Write(ctx, kind, p) != nil {
				return
			}
		}
	}, func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		m := &member{conn, make(chan message, 256)}
		group.Join(m)
		go m.read(&group)
		m.write()
	})
}

func (m *member) read(group *peer.Group[*member]) {
	defer func() {
		group.Leave(m)
		close(m.send)
		_ = m.conn.CloseNow()
	}()
	for {
		kind, p, err := m.conn.Read(context.Background())
		if err != nil {
			return
		}
		group.Each(func(to *member) {
			select {
			case to.send <- message{kind, p}:
			default:
				go func() { _ = to.conn.CloseNow() }() // too slow
			}
		})
	}
}

func (m *member) write() {
	for msg := range m.send {
		if m.conn.Write(context.Background(), msg.kind, msg.p) != nil {
			_ = m.conn.CloseNow() // read ends, and closes m.send
		}
	}
}
