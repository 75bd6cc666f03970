// Gws is a server with github.com/lxzan/gws and its Broadcaster.
package main

import (
	"net/http"

	"github.com/lxzan/gws"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/peer"
)

type echo struct{ gws.BuiltinEventHandler }

func (echo) OnMessage(c *gws.Conn, m *gws.Message) {
	defer func() { _ = m.Close() }()
	_ = c.WriteMessage(m.Opcode, m.Bytes()) // its error ends the connection
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
	b.group.Each(func(c *gws.Conn) { _ = all.Broadcast(c) }) // its error ends the connection
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
		go conn.ReadLoop() // as its README has it: what net/http holds may go
	}
}
