// Package peer is what the servers share that other libraries are measured with: each
// echoes at /echo and sends each message of a connection at /broadcast to all
// connections there, once and in order, the sender's among them. A library is used as
// its own documents and examples do.
package peer

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// Serve serves the two until the process is told to end.
func Serve(echo, broadcast http.HandlerFunc) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /echo", echo)
	mux.HandleFunc("GET /broadcast", broadcast)
	log.Fatal(http.Serve(Listen(), mux)) // a server of its own would not be another one
}

// Listen parses the flags, of which -addr is one, listens there, and prints where.
// The process ends, with status 0, when it is told to.
func Listen() *net.TCPListener {
	addr := flag.String("addr", "127.0.0.1:0", "where to listen")
	flag.Parse()
	ln, err := net.Listen("tcp", *addr)
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
	return ln.(*net.TCPListener)
}

// Group is a set of connections that messages are broadcast to.
type Group[C comparable] struct {
	mu      sync.RWMutex
	members map[C]struct{}
}

// Join puts c into the group.
func (g *Group[C]) Join(c C) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.members == nil {
		g.members = map[C]struct{}{}
	}
	g.members[c] = struct{}{}
}

// Leave takes c out of the group.
func (g *Group[C]) Leave(c C) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.members, c)
}

// Each calls f for each member, none of which leaves meanwhile.
func (g *Group[C]) Each(f func(C)) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	for c := range g.members {
		f(c)
	}
}
