package wsmanager

import "github.com/speakingtube/speakingtube/wsmanager/internal/transport"

// InLoop reports whether an event loop serves the connection.
func InLoop(c *Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return transport.LoopOf(c.out.Transport()) != nil
}
