// Gorilla is a server with github.com/gorilla/websocket, written like its chat example: for
// each connection a goroutine that reads, one that writes, and a channel between them;
// prepared messages for broadcasts.
package main

import (
	"net/http"

	"github.com/gorilla/websocket"

	"github.com/speakingtube/speakingtube/examples/benchmarks/peers/internal/peer"
)

var upgrader = websocket.Upgrader{}

type member struct {
	conn *websocket.Conn
	send chan *websocket.PreparedMessage
}

func main() {
	var group peer.Group[*member]
	peer.Serve(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		go echo(conn) // net/http's goroutine ends and releases its memory
	}, func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		m := &member{conn, make(chan *websocket.PreparedMessage, 256)}
		group.Join(m)
		go m.write()
		go m.read(&group)
	})
}

func echo(conn *websocket.Conn) {
	defer func() { _ = conn.Close() }()
	for {
		kind, p, err := conn.ReadMessage()
		if err != nil || conn.WriteMessage(kind, p) != nil {
			return
		}
	}
}

func (m *member) read(group *peer.Group[*member]) {
	defer func() {
		group.Leave(m)
		close(m.send)
		_ = m.conn.Close()
	}()
	for {
		kind, p, err := m.conn.ReadMessage()
		if err != nil {
			return
		}
		prepared, err := websocket.NewPreparedMessage(kind, p)
		if err != nil {
			return
		}
		group.Each(func(to *member) {
			select {
			case to.send <- prepared:
			default:
				_ = to.conn.NetConn().Close() // too slow
			}
		})
	}
}

func (m *member) write() {
	for p := range m.send {
		if m.conn.WritePreparedMessage(p) != nil {
			_ = m.conn.Close() // read ends, and closes m.send
		}
	}
}
