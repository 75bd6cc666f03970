package wsmanager

import "errors"

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

// AutoDriver is what DriverAuto means now.
func AutoDriver() Driver { return autoDriver }

// HasLoops reports whether there are event loops on this system.
func HasLoops() bool {
	_, err := newLoops(nil)
	return !errors.Is(err, errors.ErrUnsupported)
}
