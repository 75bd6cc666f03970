package hub

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// conn is a connection of a client: one socket, or with stateful reconnect several in
// turn.
type conn struct {
	// Static, from the first socket on.
	hub    *Hub
	who    Identity
	ticket *ticket // nil if it was not negotiated
	id     string
	ctx    context.Context // ends with the connection
	cancel context.CancelCauseFunc
	items  sync.Map // the application's

	// Static from the handshake on, before which only the reader uses them.
	protocol Protocol
	variant  wsmanager.Variant
	replay   *replay       // nil unless the connection is stateful
	greeted  chan struct{} // closed when Connected has returned

	attempts atomic.Uint64                  // to resume it
	socket   atomic.Pointer[wsmanager.Conn] // nil while there is none
	lastSent atomic.Int64                   // hub's time
	lastRead atomic.Int64                   // hub's time
	reading  atomic.Bool                    // a message is being handled: the client can't be heard

	readMu    sync.Mutex      // held by the reader; comes before mu
	partial   []byte          // of a record whose end has not come; guarded by readMu
	partialOf *wsmanager.Conn // that it came from; guarded by readMu

	mu      sync.Mutex // guards what follows
	changed *sync.Cond // on mu: there may be room, or a slot; or it is closing
	timer   *time.Timer
	resume  *time.Timer // ends the connection unless it is resumed; nil while there is a socket
	ready   bool        // the handshake is over
	closing bool
	ended   bool
	cause   error // why; set with closing

	opening   bool // Connected has not returned
	hooks     int  // goroutines of it that wait for the client's answer
	queue     []*call
	calls     map[string]*call // that have an id: they wait or run
	uploads   map[string]*upload
	pending   int // calls that wait or run
	bytes     int // of them, see Invocation.size
	active    int // calls that hold a slot
	returning int // calls that want theirs back

	asked uint64 // ids for the client to answer
	asks  map[string]chan<- *Completion
}

func (h *Hub) newConn(who Identity, k *ticket) *conn {
	c := &conn{hub: h, who: who, ticket: k}
	c.changed = sync.NewCond(&c.mu)
	return c
}

// connected is wsmanager's OnConnect.
func (l *link) connected(ws *wsmanager.Conn) error {
	c := l.conn
	if l.resume > 0 {
		c.resumed(ws, l.resume)
		return nil
	}
	h := c.hub
	h.tickets.made(c.ticket)
	if c.ticket != nil {
		c.id = c.ticket.id
	} else {
		c.id = ws.ID()
	}
	c.ctx, c.cancel = context.WithCancelCause(h.baseContext())
	now := int64(h.now())
	c.lastRead.Store(now)
	c.lastSent.Store(now)
	c.socket.Store(ws)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = time.AfterFunc(h.opts.HandshakeTimeout, c.tick)
	return nil
}

// handshake reads the first record. The answer is a WebSocket message of its own, and
// goes out before anybody else can send to the connection.
func (c *conn) handshake(ws *wsmanager.Conn, record []byte, received wsmanager.MessageType) {
	name, version, err := parseHandshake(record)
	if err != nil {
		c.refuseHandshake(ws, "The first message must be a handshake request.", err)
		return
	}
	h := c.hub
	var protocol Protocol
	for v, p := range h.opts.Protocols {
		if p.Name() == name {
			protocol, c.variant = p, wsmanager.Variant(v)
		}
	}
	switch {
	case protocol == nil:
		c.refuseHandshake(ws, "The protocol '"+name+"' is not supported.", errors.New("the client asks for an unknown protocol"))
		return
	case version < 1 || version > 2:
		c.refuseHandshake(ws, "The server does not support this version of the protocol '"+name+"'.", errors.New("the client asks for an unknown version"))
		return
	}
	if !c.enter(ws, received, protocol, version) {
		return // it is closing
	}
	h.running.run(c.greet)
	if h.isDraining() { // Shutdown may have looked through the connections already
		c.close(&Close{AllowReconnect: true}, wsmanager.StatusNormalClosure, ErrShutdown)
	}
}

// enter answers the handshake and makes the connection one of the hub's. Shutdown does not
// begin in between: whoever has read the answer gets a Close message.
func (c *conn) enter(ws *wsmanager.Conn, answer wsmanager.MessageType, protocol Protocol, version int) bool {
	h := c.hub
	h.entering.RLock()
	defer h.entering.RUnlock()
	if err := ws.Send(wsmanager.Message{Type: answer, Payload: handshakeAnswer("")}); err != nil {
		return false
	}
	kept := c.ticket != nil && c.ticket.stateful
	if kept && version == 2 {
		c.replay = newReplay(c.replaySettings(protocol), ws)
	}
	c.greeted = make(chan struct{})
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		return false
	}
	c.protocol, c.ready, c.opening = protocol, true, true
	c.timer.Reset(h.opts.KeepAliveInterval)
	c.mu.Unlock()

	h.conns.Store(c.id, c)
	if kept {
		h.kept.add(c)
	} else {
		_ = ws.Ready(c.variant) // an error means that it is closing, of which OnClose tells
	}
	return true
}

func (c *conn) refuseHandshake(ws *wsmanager.Conn, text string, err error) {
	_ = ws.Send(wsmanager.Message{Type: wsmanager.TextMessage, Payload: handshakeAnswer(text)}) // it may be gone already
	c.close(nil, wsmanager.StatusNormalClosure, err)
}

// greet calls Connected, before the first call begins.
func (c *conn) greet() {
	if err := c.hub.callConnected(c); err != nil {
		text, public := publicText(err)
		if !public {
			text = "The server failed to accept the connection."
		}
		// Before anything begins that has waited for this.
		c.close(&Close{Error: c.hub.detailed(text, err, public)}, wsmanager.StatusInternalError, err)
	}
	c.mu.Lock()
	c.opening = false
	c.startLocked()
	c.changed.Broadcast()
	c.mu.Unlock()
	close(c.greeted)
}

// tick is called when something may have to be done about a quiet connection.
func (c *conn) tick() {
	o := &c.hub.opts
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		return
	}
	if !c.ready {
		c.mu.Unlock()
		if ws := c.socket.Load(); ws != nil {
			c.refuseHandshake(ws, "Handshake was canceled.", ErrHandshakeTimeout)
		}
		return
	}
	now := c.hub.now()
	if c.reading.Load() && !(c.replay != nil && c.replay.stuck()) || c.socket.Load() == nil {
		c.lastRead.Store(int64(now)) // what it may have sent could not be read
	}
	silent, quiet := now-time.Duration(c.lastRead.Load()), now-time.Duration(c.lastSent.Load())
	ping := quiet >= o.KeepAliveInterval
	if ping {
		quiet = 0
	}
	c.timer.Reset(max(time.Millisecond, min(o.KeepAliveInterval-quiet, o.ClientTimeout-silent)))
	c.mu.Unlock()
	if silent >= o.ClientTimeout {
		c.close(&Close{AllowReconnect: true}, wsmanager.StatusNormalClosure, ErrClientTimeout)
		return
	}
	if ping {
		_ = c.control(&Ping{}) // if it can't be sent the connection is ending
	}
}

// socketClosed is wsmanager's OnClose.
func (c *conn) socketClosed(ws *wsmanager.Conn, err error) {
	if c.socket.Load() != ws {
		return // another has taken its place, or the connection has ended
	}
	var ce *wsmanager.CloseError
	if errors.As(err, &ce) && ce.Code == wsmanager.StatusAbnormalClosure && c.suspend(ws) {
		return // only what broke can be resumed
	}
	if errors.Is(err, wsmanager.ErrSlowConsumer) {
		err = errors.Join(ErrSlowConsumer, err)
	}
	c.end(err)
}

// close ends the connection from here: with a Close message, unless m is nil, and the
// closing of the socket. What was sent before goes out first. Only the first call
// counts.
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
	level := slog.LevelWarn
	switch {
	case errors.Is(cause, ErrClientTimeout), errors.Is(cause, errNotResumed):
		level = slog.LevelInfo
	case errors.Is(cause, ErrAborted), errors.Is(cause, ErrShutdown), errors.Is(cause, errClientClosed):
		level = slog.LevelDebug
	case code == wsmanager.StatusInternalError:
		level = slog.LevelError
	}
	c.hub.logger().LogAttrs(c.ctx, level, "hub closes connection", slog.String("id", c.id), slog.Any("err", cause))
	c.hub.tickets.remove(c.ticket) // before the client can know
	ws := c.retire()
	if ws == nil {
		c.cancel(cause)
		c.hub.running.run(func() { c.end(cause) }) // the caller may be Connected, which end waits for
		return
	}
	defer c.cancel(cause) // what that makes calls say is of no use any more
	if m != nil && ready {
		if data, err := c.protocol.Append(nil, m); err == nil { // else the socket's end has to say it
			_ = ws.CloseWith(c.frame(data), code, "") // the code is a valid one, and Close is no big message
			return
		}
	}
	_ = ws.Close(code, "") // the code is a valid one
}

// retire returns the socket for good: the connection won't get another.
func (c *conn) retire() *wsmanager.Conn {
	if !c.isReady() || c.replay == nil {
		return c.socket.Load()
	}
	return c.replay.stop()
}

func (c *conn) isReady() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ready
}

// errClientClosed: the client said goodbye.
var errClientClosed = errors.New("hub: the client has closed the connection")

// end is the end of the connection, once.
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
	cause, ready := c.cause, c.ready
	c.timer.Stop()
	if c.resume != nil {
		c.resume.Stop()
	}
	c.changed.Broadcast()
	c.mu.Unlock()

	if errors.Is(cause, ErrAborted) || errors.Is(cause, errClientClosed) {
		cause = nil
	}
	if cause == nil {
		c.cancel(ErrClosed)
	} else {
		c.cancel(cause)
	}
	h := c.hub
	h.tickets.remove(c.ticket)
	if !ready {
		return
	}
	if c.replay != nil {
		c.replay.stop()
	}
	h.kept.remove(c)
	h.conns.Delete(c.id)
	<-c.greeted
	h.callDisconnected(c, cause)
}
