//go:build linux

package main

import (
	"net"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/peer"
)

func goroutines(ln net.Listener) error {
	var group peer.Group[net.Conn]
	for {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		go serve(conn, &group)
	}
}

func serve(conn net.Conn, group *peer.Group[net.Conn]) {
	defer conn.Close()
	buf := make([]byte, 1<<10)
	n, member := 0, false
	for whole := false; !whole; whole, member = handshake(buf[:n]) {
		more, err := conn.Read(buf[n:])
		if err != nil || n+more == len(buf) {
			return
		}
		n += more
	}
	send := func(frame []byte) { _, _ = conn.Write(frame) } // the read sees its end
	if member {
		group.Join(conn)
		defer group.Leave(conn)
		send = func(frame []byte) {
			group.Each(func(to net.Conn) { _, _ = to.Write(frame) })
		}
	}
	_, _ = conn.Write([]byte(answer))
	n = 0
	for {
		if n == len(buf) {
			buf = append(buf, make([]byte, len(buf))...)
		}
		more, err := conn.Read(buf[n:])
		if err != nil {
			return
		}
		n += more
		rest := buf[:n]
		for frame, length := next(rest); frame != nil; frame, length = next(rest) {
			send(frame)
			rest = rest[length:]
		}
		n = copy(buf, rest)
	}
}
