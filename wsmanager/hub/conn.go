package hub

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/cutter"
	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/lazyctx"
)

// conn is a client's connection on the server. It has one socket, or with stateful reconnect several in turn.
type conn struct {
	// Written when the first socket connects, before other goroutines use the connection.
	hub      *Hub
	identity *Identity // nil: the zero Identity; see identityOf
	ticket   *ticket   // nil if the connection was not negotiated
	id       string
	socket   *wsmanager.Conn // the first one
	ctx      context.Context // ends with the connection: &life
	life     lazyctx.Context

	items   atomic.Pointer[sync.Map] // of the application; nil until it is needed
	session session
	sending sendGate
	endSink func() // ends session.sink; nil without
	attempt uint64 // of the first socket

	readMu sync.Mutex // held while a message is read: sockets take turns; locked before mu

	mu          sync.Mutex        // guards all fields below
	changed     signal            // on mu; signals that a call has ended or released its slot, or that the connection is closing
	timer       *time.Timer       // nil until the socket has the connection
	resumeTimer *time.Timer       // ends the connection unless it is resumed; nil while there is a socket
	expiry      *time.Timer       // ends the connection at Identity.Expires; nil without
	variant     wsmanager.Variant // of the session's protocol; set before other goroutines use the connection
	connecting  bool              // Options.Connected has not returned
	ready       bool              // the handshake is done
	closing     bool
	ended       bool
	lost        bool  // the socket ended, or was replaced, before the handshake was done; set with closing
	hookWaits   int32 // goroutines of hooks that wait for a result of the client
	slotCalls   int32 // calls that have not ended and need a slot
	cause       error // of the end; set with closing

	queue        []*call   // calls that have not begun
	deferred     *call     // one that has begun and runs when the reader has returned; nil mostly
	calls        callIndex // calls with an id that have not ended
	uploads      map[string]*upload
	pendingCalls int32 // calls that have not ended
	uploadItems  int32 // that no method has taken
	heldBytes    int   // memory of the items that methods have taken last
	pendingBytes int   // memory of pendingCalls and uploadItems, and heldBytes; limited by Options.MaxPendingBytes
	slots        slots

	lastInvocationID   uint64
	pendingInvocations map[string]chan<- *Completion
}

func (h *Hub) newConn(ctx context.Context, identity Identity, k *ticket) *conn {
	c := &conn{hub: h, ctx: ctx, ticket: k}
	if identity.User != "" || identity.Value != nil || !identity.Expires.IsZero() {
		kept := identity
		c.identity = &kept
	}
	c.session.owner, c.session.config = c, &h.sessions
	c.sending.limit = h.opts.MaxPendingBytes
	c.changed.mu = &c.mu
	c.slots = slots{owner: c, changed: &c.changed, limit: int32(min(h.opts.MaxParallelCalls, math.MaxInt32))}
	return c
}

// identityOf returns the owner of the connection.
func identityOf(c *conn) Identity {
	if c.identity == nil {
		return Identity{}
	}
	return *c.identity
}

// serverSocket is one socket of a conn. Its callbacks own it.
type serverSocket struct {
	conn    *conn
	attempt uint64    // number of the handshake: of several sockets of a connection the latest counts
	renewed *Identity // of the request that resumes; nil for the first socket

	ws      *wsmanager.Conn
	ended   bool           // ws has ended; set while the reader waits. Guarded by conn.mu
	records *cutter.Cutter // the start of a record whose end has not arrived; nil mostly
}

// connected handles wsmanager's OnConnect.
func (s *serverSocket) connected(ws *wsmanager.Conn) {
	s.ws = ws
	if s.renewed == nil && s.begin() {
		return
	}
	c := s.conn
	if s.renewed == nil { // a later socket has the token
		_ = ws.Close(wsmanager.StatusNormalClosure, "") // fails for invalid codes only
		return
	}
	_ = wsmanager.Carry(ws, wsmanager.SlowConsumerDropNewest) // fails if the socket has ended
	c.resume(ws, s.attempt)
	if c.session.socket.Load() == ws {
		c.hub.counters.resumptions.Add(1)
		c.expireAt(s.renewed.Expires)
	}
}

// closed handles wsmanager's OnClose.
func (s *serverSocket) closed(err error) {
	c := s.conn
	if c.session.socket.Load() != s.ws {
		return // the connection has another socket, or has ended
	}
	var ce *wsmanager.CloseError
	if errors.As(err, &ce) && ce.Code == wsmanager.StatusAbnormalClosure && !loseEarly(c) && c.suspend(s.ws) {
		return
	}
	if errors.Is(err, wsmanager.ErrSlowConsumer) {
		err = withPrefix(ErrSlowConsumer, err)
	}
	c.end(err)
}

// checkTimers runs when the handshake, a Ping or the client's next message may be due.
func (c *conn) checkTimers() {
	c.mu.Lock()
	closing, ready := c.closing, c.ready
	c.mu.Unlock()
	if closing {
		return
	}
	if !ready {
		if ws := c.session.socket.Load(); ws != nil {
			c.refuseHandshake(ws, "Handshake was canceled.", ErrHandshakeTimeout)
		}
		return
	}
	next, timedOut := c.session.checkTimers()
	if timedOut {
		c.closeWithError(wsmanager.StatusNormalClosure, ErrClientTimeout)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing {
		c.timer.Reset(next)
	}
}

// close ends the connection from the server's side. It sends everything that was sent before and a Close message, unless m
// is nil, and closes the socket. Only the first call has an effect.
func (c *conn) close(m *Close, code wsmanager.StatusCode, cause error) {
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		return
	}
	c.closing, c.cause = true, cause
	ready := c.ready
	c.timer.Stop()
	c.changed.Broadcast()
	c.mu.Unlock()
	c.hub.logger().LogAttrs(c.ctx, closeLevel(code, cause), "hub closes connection", c.logID(), slog.Any("err", logged(cause)))

	c.hub.tickets.remove(c.ticket) // before the client can see the end and try to resume
	ws, live := c.detachSocket(ready)
	if ws == nil {
		c.life.Cancel(cause)
		c.hub.running.run(func() { c.end(cause) }) // end waits for Connected, which may be the caller
		return
	}
	defer c.life.Cancel(cause) // after Close, so that no result of a canceled call follows it
	if m != nil && ready {
		c.session.closeSocket(ws, m, code, live)
		return
	}
	_ = ws.Close(code, "") // fails for invalid codes only
}

// closeWithError closes a connection whose client has broken the protocol, exceeded a limit or been silent for too long. A
// client with automatic reconnect comes back: a single message may be at fault. As in ASP.NET Core the client does not learn
// the reason, which is in the log.
func (c *conn) closeWithError(code wsmanager.StatusCode, cause error) {
	c.close(&Close{Error: c.hub.detailed("Connection closed with an error.", cause, false), AllowReconnect: true}, code, cause)
}

// closeLevel is the level of the log record of close.
func closeLevel(code wsmanager.StatusCode, cause error) slog.Level {
	switch {
	case errors.Is(cause, ErrClientTimeout), errors.Is(cause, errNotResumed), errors.Is(cause, ErrExpired):
		return slog.LevelInfo
	case errors.Is(cause, ErrAborted), errors.Is(cause, ErrShutdown), errors.Is(cause, errClientClosed):
		return slog.LevelDebug
	case code == wsmanager.StatusInternalError:
		return slog.LevelError
	}
	return slog.LevelWarn
}

// detachSocket returns the present socket, or nil, and whether the client is ready for messages on it. The connection gets
// no other socket.
func (c *conn) detachSocket(ready bool) (ws *wsmanager.Conn, live bool) {
	if !ready || c.session.replay == nil {
		return c.session.socket.Load(), true
	}
	return c.session.replay.stop()
}

// errClientClosed is why a connection ends after the client's Close message.
var errClientClosed = errors.New("hub: the client has closed the connection")

// end releases everything that belongs to the connection and calls Disconnected, once.
func (c *conn) end(err error) {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return
	}
	c.ended, c.closing = true, true
	if c.cause == nil {
		c.cause = err
	}
	cause, ready, lost := c.cause, c.ready, c.lost
	if c.timer != nil {
		c.timer.Stop()
	}
	if c.resumeTimer != nil {
		c.resumeTimer.Stop()
	}
	if c.expiry != nil {
		c.expiry.Stop()
	}
	startDeferredLocked(c) // its event may have been the last one of the socket
	c.changed.Broadcast()
	c.mu.Unlock()
	if errors.Is(cause, ErrAborted) || errors.Is(cause, errClientClosed) {
		cause = nil
	}
	if cause == nil {
		c.life.Cancel(ErrClosed)
	} else {
		c.life.Cancel(cause)
	}
	h := c.hub
	if lost {
		h.tickets.release(c.ticket, c)
		return
	}
	h.tickets.remove(c.ticket)
	if !ready {
		return
	}
	if c.session.replay != nil {
		c.session.replay.stop()
	}
	if c.endSink != nil {
		c.endSink()
	}
	h.conns.Delete(c.id)
	c.mu.Lock()
	for c.connecting { // Disconnected follows Connected
		c.changed.Wait()
	}
	c.mu.Unlock()
	h.callDisconnected(c, cause)
}

// addWaiting implements sessionOwner. The server's reader does not depend on its writes.
func (c *conn) addWaiting(int) {}

// replayOverflow implements sessionOwner. The connection's sink is locked.
func (c *conn) replayOverflow(err error) {
	c.hub.running.run(func() {
		c.closeWithError(wsmanager.StatusTryAgainLater, err)
	})
}

// closingLocked implements slotOwner.
func (c *conn) closingLocked() bool { return c.closing }
