package wsmanager

import "fmt"

// Variant returns the connection's variant. The result is false before [Conn.Ready] of a
// connection that was accepted with Accept.Deferred.
func (c *Conn) Variant() (Variant, bool) {
	e, ok := c.reception.Encoding()
	return Variant(e.Variant()), ok
}

// Ready ends the state that Accept.Deferred has begun: from now on broadcasts, also those to
// its groups and user, reach the connection, in the format of the variant. It returns
// ErrReady if the connection is ready already, and ErrClosed if it has ended.
func (c *Conn) Ready(v Variant) error {
	if v >= MaxVariants {
		return fmt.Errorf("wsmanager: variant %d is not below %d", v, MaxVariants)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.life.left:
		return ErrClosed
	case c.reception.IsReady():
		return ErrReady
	}
	c.m.broadcaster.BecomeReady(c.asReceiver(), encodingOf(v, c.who.deflate))
	return nil
}
