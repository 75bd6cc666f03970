// Gws is a server with github.com/lxzan/gws and its Broadcaster.
package main

import (
	"net/http"

	"github.com/lxzan/gws"

	"github.com/speakingtube/speakingtube/examples/benchmarks/peers/internal/peer"
)

type echo struct{ gws.BuiltinEventHandler }

func (echo) OnMessage(c *gws.Conn, m *gws.Message) {
	defer func() { _ = m.Close() }()
	_ = c.WriteMessage(m.Opcode, m.Bytes()) // an error closes the connection
}

type broadcast struct {
	gws.BuiltinEventHandler
	group peer.Group[*gws.Conn]
}

func (b *broadcast) OnOpen(c *gws.Conn)           { b.group.Join(c) }
func (b *broadcast) OnClose(c *gws.Conn, _ error) { b.group.Leave(c) }

func (b *broadcast) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer func() { _ = m.Close() }()
	all := gws.NewBroadcaster(m.Opcode, m.Bytes())
	defer func() { _ = all.Close() }()
	b.group.Each(func(c *gws.Conn) { _ = all.Broadcast(c) }) // an error closes the connection
}

func main() {
	peer.Serve(serve(echo{}), serve(&broadcast{}))
}

func serve(h gws.Event) http.HandlerFunc {
	upgrader := gws.NewUpgrader(h, nil)
	return func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r)
		if err != nil {
			return
		}
		go conn.ReadLoop() // as in its README; net/http's goroutine ends and releases its memory
	}
}
