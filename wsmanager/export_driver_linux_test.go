package wsmanager

// InLoop reports whether an event loop serves the connection.
func InLoop(c *Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.out.Transport().(type) {
	case *eventLoopTransport, *addressedLoopTransport:
		return true
	}
	return false
}
