package hub

import "github.com/speakingtube/speakingtube/wsmanager"

// A call runs on a goroutine of its own, or on that of the event loop which has read it: a goroutine costs more than most
// methods. In the loop it runs after the callbacks of the connection have returned (wsmanager.Continue), so it does not
// delay the messages behind it (cancellations, pings, results that it waits for), however long it takes. If it blocks, the loop
// continues on another goroutine, as for any callback; that takes some milliseconds. So only calls of methods
// that were short until now run there.

// startCallsLocked implements slotOwner. It starts the calls that may begin on goroutines.
func (c *conn) startCallsLocked() {
	for k := beginNextLocked(c); k != nil; k = beginNextLocked(c) {
		c.hub.running.run(k.serve)
	}
}

// startFromReaderLocked starts a call that the reader of s has begun. It leaves one short call to serveDeferred.
func startFromReaderLocked(s *serverSocket, k *call) {
	if c := k.c; c.deferred == nil && k.isShort() && wsmanager.Continue(s.ws) {
		c.deferred = k
		c.hub.running.add()
		return
	}
	k.c.hub.running.run(k.serve)
}

// startDeferredLocked starts the deferred call on a goroutine. The reader calls it before it waits, because the call may be what
// it waits for.
func startDeferredLocked(c *conn) {
	if k := c.deferred; k != nil {
		c.deferred = nil
		go k.serveAdded()
	}
}

// maxCallsInLoop is how many calls of a connection run in its event loop before those of other connections.
const maxCallsInLoop = 32

// serveDeferred handles wsmanager's OnContinue. It runs the deferred call, and those that wait for its slot.
func (s *serverSocket) serveDeferred() {
	c := s.conn
	c.mu.Lock()
	k := c.deferred
	c.deferred = nil
	c.mu.Unlock()
	if k == nil {
		return
	}
	defer c.hub.running.done() // also if a method ends the goroutine
	for n := 0; k != nil; n++ {
		if n == maxCallsInLoop || !k.isShort() {
			c.hub.running.run(k.serve)
			return
		}
		k = k.run()
	}
}

// serve runs a call on a goroutine of its own, and those that wait for its slot.
func (k *call) serve() {
	for k != nil {
		k = k.run()
	}
}

// serveAdded is serve for a call that running counts already.
func (k *call) serveAdded() {
	defer k.c.hub.running.done()
	k.serve()
}

// isShort reports whether the call needs no goroutine of its own.
func (k *call) isShort() bool {
	return k.problem != "" || !k.slot.exempt && k.method.pace.IsShort()
}
