package hubtest

import (
	"context"
	"net"
	"sync"

	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// network connects one client to its server in memory. It can be cut.
type network struct {
	listener *wstest.Listener

	mu    sync.Mutex // guards the fields below
	conns []*wstest.PipeConn
	cut   chan struct{} // closed when the network works again; nil while it works
}

// dial implements wsmanager's Network.Dial. It waits while the network is cut.
func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	for {
		n.mu.Lock()
		if n.cut == nil {
			break
		}
		cut := n.cut
		n.mu.Unlock()
		select {
		case <-cut:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	defer n.mu.Unlock()
	conn, err := n.listener.Dial()
	if err != nil {
		return nil, err
	}
	n.conns = append(n.conns, conn)
	return conn, nil
}

// down resets all connections and holds further ones.
func (n *network) down() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut == nil {
		n.cut = make(chan struct{})
	}
	for _, c := range n.conns {
		c.Reset()
	}
	n.conns = nil
}

func (n *network) up() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut != nil {
		close(n.cut)
		n.cut = nil
	}
}
