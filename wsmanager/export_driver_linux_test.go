package wsmanager

// InLoop reports whether an event loop serves the connection.
func InLoop(c *Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.t
	if a, ok := t.(*addressed); ok {
		t = a.transport
	}
	_, ok := t.(*loopTransport)
	return ok
}
