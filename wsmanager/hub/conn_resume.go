package hub

import (
	"errors"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// errNotResumed is why a connection ends that broke and was not resumed.
var errNotResumed = errors.New("hub: the connection broke and was not resumed")

// resumable reports whether another socket may take over.
func (c *conn) resumable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ready && !c.closing && c.session.replay != nil
}

// suspend keeps the connection for Options.ResumeWindow after its socket broke. It returns false if the connection cannot
// be resumed.
func (c *conn) suspend(ws *wsmanager.Conn) bool {
	if !c.resumable() {
		return false
	}
	r := c.session.replay
	c.mu.Lock()
	defer c.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case c.closing || r.stopped:
		return false
	case r.ws != ws:
		return true // a new socket has taken over
	}
	r.ws = nil
	c.session.socket.Store(nil)
	c.resumeTimer = time.AfterFunc(c.hub.opts.ResumeWindow, func() { c.hub.running.run(c.resumeExpired) })
	return true
}

// resumeExpired ends a connection that was not resumed in time.
func (c *conn) resumeExpired() {
	if c.session.socket.Load() == nil {
		c.close(nil, wsmanager.StatusNormalClosure, errNotResumed)
	}
}

// resume continues on a new socket and replays the unacknowledged messages. If the connection still has a socket, that one
// is closed: the client knows before the server that it is broken.
func (c *conn) resume(ws *wsmanager.Conn, attempt uint64) {
	r := c.session.replay
	c.mu.Lock()
	defer c.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.closing || r.stopped || attempt < r.attempt { // a later attempt has already succeeded
		_ = ws.Close(wsmanager.StatusNormalClosure, "") // fails for invalid codes only
		return
	}
	if c.resumeTimer != nil {
		c.resumeTimer.Stop()
		c.resumeTimer = nil
	}
	old := r.ws
	r.attempt = attempt
	c.session.lastRead.Store(int64(c.hub.sessions.now()))
	c.session.socket.Store(ws)
	r.resumeLocked(ws)
	if old != nil { // its OnClose does not end the connection, because the connection has another socket
		_ = old.Close(wsmanager.StatusNormalClosure, "") // fails for invalid codes only
	}
}
