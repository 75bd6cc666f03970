//go:build linux

// Rawtcp is no WebSocket server but the limit that servers are held against: the same
// bytes on the wire with next to nothing behind them. The handshake is not looked at,
// frames are believed to be whole, masked and valid.
//
//	-mode goroutine   a goroutine for each connection, with package net
//	-mode epoll       one thread, epoll and system calls: about what the kernel costs
package main

import (
	"flag"
	"log"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/peer"
)

func main() {
	mode := flag.String("mode", "epoll", "goroutine or epoll")
	ln := peer.Listen()
	switch *mode {
	case "goroutine":
		log.Fatal(goroutines(ln))
	case "epoll":
		log.Fatal(oneThread(ln))
	}
	log.Fatalf("there is no mode %q: goroutine or epoll", *mode)
}
