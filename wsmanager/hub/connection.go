package hub

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strconv"
	"sync"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// Connection is a client of a hub, made by [Dial]. It calls methods of the hub with [Invoke], [Connection.Call],
// [Connection.Send] and [Stream], and the hub calls its handlers: see [Connection.On]. It reconnects when it breaks
// (DialOptions.ReconnectDelays). Pending calls then fail, unless the connection is resumed. All methods are safe for
// concurrent use and may be called in handlers and callbacks, except that these must not wait for Done.
type Connection struct {
	opts       DialOptions
	negotiator negotiator
	protocol   Protocol
	sessions   sessionConfig
	ctx        context.Context // ends with the Connection
	cancel     context.CancelCauseFunc
	unbind     func() bool     // stops watching BaseContext
	stopped    context.Context // ends when Close is called
	stop       context.CancelFunc
	done       chan struct{}
	running    goroutineGroup // of handlers, streams and abandoned sockets

	mu      sync.Mutex // guards all fields below
	changed signal     // on mu; signals space in a buffer, a free slot, a new waiter, or the end of the socket
	session *session   // the latest; set by the first handshake
	socket  *clientSocket
	id      string
	closing bool
	err     error

	lastID   uint64
	calls    map[string]*pendingCall
	waiting  int // goroutines that wait for a message of the server
	buffered int // bytes of received items and calls that no goroutine has taken
	handlers handlerQueue
}

func newConnection(target *url.URL, handlers map[string][]*method, opts DialOptions) *Connection {
	c := &Connection{
		opts: opts, protocol: opts.Protocol, sessions: opts.sessionConfig(), done: make(chan struct{}),
		calls: make(map[string]*pendingCall),
	}
	c.negotiator = negotiator{&c.opts, target}
	c.sessions.run = c.running.run
	c.changed.mu = &c.mu
	c.handlers = handlerQueue{c: c, byName: handlers}
	c.handlers.slots = slots{owner: &c.handlers, changed: &c.changed, limit: 1}
	base := context.Background()
	if opts.WebSocket.BaseContext != nil {
		base = opts.WebSocket.BaseContext
	}
	c.ctx, c.cancel = context.WithCancelCause(base)
	c.stopped, c.stop = context.WithCancel(c.ctx)
	c.unbind = context.AfterFunc(base, c.Close)
	return c
}

// Errors of a Connection.
var (
	// ErrDisconnected is returned by sends and pending calls if the connection has broken. The Connection may reconnect. The
	// reason is in the error's chain.
	ErrDisconnected = errors.New("hub: the connection has broken")

	// ErrServerTimeout is why a connection broke if no message came from the server for DialOptions.ServerTimeout.
	ErrServerTimeout = errors.New("hub: no message from the server in time")
)

// ClosedError is why a [Connection] ended that the server closed with an error.
type ClosedError struct{ Text string }

// Error implements error.
func (e *ClosedError) Error() string { return "hub: the server closed the connection: " + e.Text }

// ID returns the id of the connection in the hub, or "" without a negotiation. It changes with each reconnect.
func (c *Connection) ID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.id
}

// Connected reports whether the Connection is connected at present.
func (c *Connection) Connected() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.socket != nil && !c.closing
}

// Done returns a channel that is closed when the Connection has ended and its handlers and OnClosed have returned.
func (c *Connection) Done() <-chan struct{} { return c.done }

// Err returns why the Connection has ended. It is nil if the Connection has not ended, if Close ended it, or if the server
// closed it without an error. It is a *[ClosedError] if the server closed it with an error, and otherwise the reason why
// the connection broke.
func (c *Connection) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the Connection. Messages that were sent before are delivered first. Close does not wait: see Done. Pending
// calls return ErrClosed, and the contexts of handlers end.
func (c *Connection) Close() {
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		return
	}
	c.closing = true
	session, socket := c.session, c.socket
	c.changed.Broadcast()
	c.mu.Unlock()
	c.stop()
	if session != nil && session.replay != nil {
		session.replay.stop()
	}
	if socket != nil {
		socket.session.closeSocket(socket.ws, &Close{}, wsmanager.StatusNormalClosure, true)
	}
}

func (c *Connection) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}

func (c *Connection) logger() *slog.Logger {
	if c.opts.Logger != nil {
		return c.opts.Logger
	}
	return slog.Default()
}

// newID makes an id for a call or a stream.
func (c *Connection) newID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastID++
	return strconv.FormatUint(c.lastID, 10)
}

func (c *Connection) currentSession() *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session
}

// write sends a counted message and waits until there is space for it. Messages of a call belong to the session in which
// the call began: in a later session they would have another meaning.
func (c *Connection) write(ctx context.Context, s *session, m Message) error {
	return c.writeWithin(ctx, s, m, c.sessions.sendLimit(m))
}

// writeWithin is write with another limit than DialOptions.MaxSendSize.
func (c *Connection) writeWithin(ctx context.Context, s *session, m Message, limit int) error {
	err := s.writeMessage(ctx, m, limit)
	if errors.Is(err, ErrClosed) && !c.isClosing() {
		return ErrDisconnected
	}
	return err
}

// addWaiting implements sessionOwner. Calls that wait for a reply use it, too. The reader does not pause while a goroutine
// waits: the message that it waits for may be behind others, or the server may wait for the client to read.
func (c *Connection) addWaiting(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting += n
	c.changed.Broadcast()
}

// replayOverflow implements sessionOwner. All messages of a client wait for space, so the limit is not reached.
func (c *Connection) replayOverflow(error) {}
