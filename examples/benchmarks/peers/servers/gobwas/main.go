// Gobwas is a server with only github.com/gobwas/ws and its wsutil: a goroutine for each
// connection, and a broadcast that writes a frame to each connection in turn.
package main

import (
	"net"
	"net/http"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/speakingtube/speakingtube/examples/benchmarks/peers/internal/peer"
)

func main() {
	var group peer.Group[net.Conn]
	peer.Serve(func(w http.ResponseWriter, r *http.Request) {
		conn, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			return
		}
		go echo(conn)
	}, func(w http.ResponseWriter, r *http.Request) {
		conn, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			return
		}
		group.Join(conn)
		go broadcast(conn, &group)
	})
}

func echo(conn net.Conn) {
	defer conn.Close()
	for {
		p, op, err := wsutil.ReadClientData(conn)
		if err != nil || wsutil.WriteServerMessage(conn, op, p) != nil {
			return
		}
	}
}

func broadcast(conn net.Conn, group *peer.Group[net.Conn]) {
	defer conn.Close()
	defer group.Leave(conn)
	for {
		p, op, err := wsutil.ReadClientData(conn)
		if err != nil {
			return
		}
		frame := ws.MustCompileFrame(ws.NewFrame(op, true, p))
		group.Each(func(to net.Conn) { _, _ = to.Write(frame) }) // its reader detects a broken connection
	}
}
