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

// outliveSocket makes the session independent of its first socket: a sink is the connection's member of audiences, and the
// sockets only carry messages. The replay keeps what does not fit into an outbox.
func (c *conn) outliveSocket(ws *wsmanager.Conn) (err error) {
	if err := wsmanager.Carry(ws, wsmanager.SlowConsumerDropNewest); err != nil {
		return err
	}
	s := &c.session
	s.replay = newReplay(s, ws)
	s.replay.attempt = c.attempt
	a := wsmanager.Accept{User: identityOf(c).User, Variant: c.variant}
	s.sink, c.endSink, err = wsmanager.NewSinkConn(c.hub.manager, a, s)
	return err
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
	c.awaitResumeLocked(c.hub.opts.ResumeWindow)
	return true
}

// awaitResumeLocked ends the connection after d, unless it is resumed until then.
func (c *conn) awaitResumeLocked(d time.Duration) {
	if c.resumeTimer != nil {
		c.resumeTimer.Stop()
	}
	c.resumeTimer = time.AfterFunc(d, func() { c.hub.running.run(c.resumeExpired) })
}

// resumeExpired ends a connection that was not resumed in time: it has no socket, or the client has sent no Sequence on it.
func (c *conn) resumeExpired() {
	switch {
	case c.session.replay.isLive():
	case c.session.socket.Load() == nil:
		c.close(nil, wsmanager.StatusNormalClosure, errNotResumed)
	default:
		c.closeWithError(wsmanager.StatusNormalClosure, ErrHandshakeTimeout)
	}
}

// resume continues on a new socket. If the connection still has a socket, that one is closed: the client knows before the
// server that it is broken. The unacknowledged messages are replayed when the client's Sequence arrives: see replay.resync.
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
	c.awaitResumeLocked(c.hub.opts.HandshakeTimeout)
	old := r.ws
	r.attempt = attempt
	c.session.lastRead.Store(int64(c.hub.sessions.now()))
	c.session.socket.Store(ws)
	r.changeSocketLocked(ws)
	c.changed.Broadcast() // the reader of the old socket may wait
	if old != nil {       // its OnClose does not end the connection, because the connection has another socket
		_ = old.Close(wsmanager.StatusNormalClosure, "") // fails for invalid codes only
	}
}
