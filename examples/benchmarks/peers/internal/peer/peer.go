// Package peer is shared by the servers of other libraries that are measured. Each echoes
// at /echo, and at /broadcast sends each message of a connection to all connections there,
// the sender included, once and in order. A library is used as in its documentation and
// examples.
package peer

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// Serve serves both endpoints on a free port of 127.0.0.1 and prints the address. SIGTERM and
// SIGINT end the process with status 0.
func Serve(echo, broadcast http.HandlerFunc) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, os.Interrupt)
	go func() {
		<-end
		os.Exit(0)
	}()
	fmt.Printf("serving http://%s\n", ln.Addr())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /echo", echo)
	mux.HandleFunc("GET /broadcast", broadcast)
	log.Fatal(http.Serve(ln, mux)) // the servers are measured with net/http's defaults
}

// Group is a set of connections that receive broadcasts.
type Group[C comparable] struct {
	mu      sync.RWMutex
	members map[C]struct{}
}

// Join adds c.
func (g *Group[C]) Join(c C) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.members == nil {
		g.members = map[C]struct{}{}
	}
	g.members[c] = struct{}{}
}

// Leave removes c.
func (g *Group[C]) Leave(c C) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.members, c)
}

// Each calls f for each member. Membership does not change meanwhile.
func (g *Group[C]) Each(f func(C)) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	for c := range g.members {
		f(c)
	}
}
