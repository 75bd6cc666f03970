package hub

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// Connection is a client of a hub, made by [Dial]. It calls methods of the hub with
// [Invoke], [Connection.Call], [Connection.Send] and [Stream], and is called by it: see
// [Connection.On]. When it breaks it is made again (DialOptions.ReconnectDelays): calls
// that wait fail then, unless it could be resumed. All methods are safe for concurrent use
// and may be called inside handlers and callbacks, save waiting for Done.
type Connection struct {
	// Static.
	opts     DialOptions
	target   *url.URL // scheme http or https
	protocol Protocol
	start    time.Time
	ctx      context.Context // ends with the Connection
	cancel   context.CancelCauseFunc
	unbind   func() bool     // from BaseContext, whose end is this one's
	stopped  context.Context // ends when Close is called
	stop     context.CancelFunc
	done     chan struct{}
	running  activity // handlers, streams, sockets that were given up

	lastSent atomic.Int64 // the Connection's time
	lastRead atomic.Int64
	reading  atomic.Bool // a message is being handled: the server can't be heard

	mu      sync.Mutex // guards what follows
	changed *sync.Cond // on mu: there may be room, or a turn; or the socket is over
	socket  *socket    // nil while there is none
	id      string
	epoch   uint64  // counts connections; a resumed one is the same
	replay  *replay // nil unless it may be resumed
	closing bool
	err     error

	ids      uint64
	calls    map[string]*outgoing
	waiting  int // goroutines that wait for something to come
	buffered int // bytes that came and nobody has taken

	handlers map[string][]*method // by folded name; the slices are not changed
	queue    []incoming
	turn     bool // a handler runs, and does not wait for the hub
}

func newConnection(target *url.URL, handlers map[string][]*method, opts DialOptions) *Connection {
	c := &Connection{
		opts: opts, target: target, protocol: opts.Protocol, start: time.Now(), done: make(chan struct{}),
		calls: make(map[string]*outgoing), handlers: handlers,
	}
	c.changed = sync.NewCond(&c.mu)
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
	// ErrDisconnected is returned for what is sent, or waits, while the connection has
	// broken; it is being made again, perhaps. What broke it is in the error's chain
	// as well.
	ErrDisconnected = errors.New("hub: the connection has broken")

	// ErrServerTimeout: nothing came from the server for DialOptions.ServerTimeout.
	ErrServerTimeout = errors.New("hub: nothing came from the server in time")
)

// ClosedError is how a [Connection] ends whose server has closed it with an error.
type ClosedError struct{ Text string }

// Error implements error.
func (e *ClosedError) Error() string { return "hub: the server closed the connection: " + e.Text }

// ID returns the id that the hub knows the connection by, which is another after it was
// made again; "" without a negotiation.
func (c *Connection) ID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.id
}

// Connected reports whether there is a connection at present.
func (c *Connection) Connected() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.socket != nil && !c.closing
}

// Done returns a channel that is closed when the Connection has ended for good: its
// handlers and OnClosed have returned, and nothing of it is left.
func (c *Connection) Done() <-chan struct{} { return c.done }

// Err returns why the Connection has ended: nil if Close ended it, the server did
// without an error, or it has not ended; a *[ClosedError], or what broke it, if it was not
// to be made again.
func (c *Connection) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the Connection for good, after what was sent before. It does not wait:
// see Done. Calls that wait return ErrClosed, the contexts of handlers end.
func (c *Connection) Close() {
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		return
	}
	c.closing = true
	s, r := c.socket, c.replay
	c.changed.Broadcast()
	c.mu.Unlock()
	c.stop()
	if r != nil {
		r.stop()
	}
	if s == nil {
		return
	}
	if data, err := c.protocol.Append(nil, &Close{}); err == nil {
		_ = s.ws.CloseWith(c.frame(data), wsmanager.StatusNormalClosure, "") // the code is a valid one
		return
	}
	_ = s.ws.Close(wsmanager.StatusNormalClosure, "") // the code is a valid one
}

// run keeps the connection, from its first socket to its end.
func (c *Connection) run(s *socket) {
	for {
		err, again := c.attend(s)
		if next := c.goOn(s, err); next != nil {
			s = next
			continue
		}
		c.disconnected(err)
		if again {
			s, err = c.reconnect(err)
		}
		if !again || s == nil {
			c.finish(err)
			return
		}
	}
}

// attend pings until the socket has ended, and returns why, and whether there may be
// another.
func (c *Connection) attend(s *socket) (err error, again bool) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-s.done:
			return c.outcome(s)
		case <-timer.C:
		}
		now := c.now()
		if c.reading.Load() {
			c.lastRead.Store(int64(now)) // what the server may have sent could not be read
		}
		silent, quiet := now-time.Duration(c.lastRead.Load()), now-time.Duration(c.lastSent.Load())
		if silent >= c.opts.ServerTimeout && !c.isClosing() {
			c.mu.Lock()
			s.cause = ErrServerTimeout
			c.mu.Unlock()
			c.giveUp(s, s.ws)
			return c.outcome(s)
		}
		if quiet >= c.opts.KeepAliveInterval {
			quiet = 0
			c.control(&Ping{})
		}
		timer.Reset(max(time.Millisecond, min(c.opts.KeepAliveInterval-quiet, c.opts.ServerTimeout-silent)))
	}
}

func (c *Connection) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}

// outcome is why a socket has ended, and whether there may be another.
func (c *Connection) outcome(s *socket) (err error, again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var broken *protocolError
	switch {
	case c.closing:
		return nil, false
	case s.close != nil && s.close.Error != "":
		return &ClosedError{s.close.Error}, s.close.AllowReconnect
	case s.close != nil:
		return nil, s.close.AllowReconnect
	case errors.As(s.cause, &broken):
		return s.cause, false // the next time it would be no better
	case s.cause != nil:
		return s.cause, true
	case s.ended == nil:
		return errors.New("hub: the server closed the socket"), true
	}
	return s.ended, true
}

// goOn resumes a connection that broke, if that can be; nil if not.
func (c *Connection) goOn(s *socket, err error) *socket {
	var ce *wsmanager.CloseError
	c.mu.Lock()
	r := c.replay
	can := r != nil && !c.closing && s.close == nil &&
		(errors.Is(s.cause, ErrServerTimeout) || s.cause == nil && errors.As(err, &ce) && ce.Code == wsmanager.StatusAbnormalClosure)
	c.mu.Unlock()
	if !can {
		return nil
	}
	r.suspend()
	ctx, cancel := context.WithCancelCause(c.stopped)
	defer cancel(nil)
	next, err := c.dial(ctx, &socket{c: c, agreement: s.agreement, resuming: true})
	if err != nil {
		c.logger().Debug("hub connection could not be resumed", "err", err)
		return nil
	}
	return next
}

// disconnected fails what waits.
func (c *Connection) disconnected(err error) {
	c.mu.Lock()
	if r := c.replay; r != nil {
		r.stop()
	}
	failure := ErrClosed
	if !c.closing {
		failure = errors.Join(ErrDisconnected, err)
	}
	for id, k := range c.calls {
		delete(c.calls, id)
		c.pushLocked(k, reply{end: true, err: failure})
	}
	c.changed.Broadcast()
	c.mu.Unlock()
}

// reconnect tries until there is a socket again; nil if it gives up.
func (c *Connection) reconnect(err error) (*socket, error) {
	if c.opts.RetryDelay == nil && len(c.opts.ReconnectDelays) == 0 {
		return nil, err
	}
	if f := c.opts.OnReconnecting; f != nil {
		f(err)
	}
	begin := time.Now()
	why := err
	for attempt := 1; ; attempt++ {
		delay, ok := c.opts.retryDelay(Retry{Attempt: attempt, Elapsed: time.Since(begin), Err: why})
		if !ok {
			return nil, err
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-c.stopped.Done():
			timer.Stop()
			return nil, nil
		}
		s, failed := c.connect(c.stopped)
		switch {
		case failed == nil:
			if f := c.opts.OnReconnected; f != nil {
				f(s.agreement.id)
			}
			return s, nil
		case c.isClosing():
			return nil, nil
		}
		c.logger().Debug("hub connection could not be made again", "attempt", attempt, "err", failed)
		why = failed
	}
}

// finish is the end of the Connection.
func (c *Connection) finish(err error) {
	c.unbind()
	c.mu.Lock()
	if c.closing {
		err = nil
	}
	c.closing, c.err = true, err
	c.queue = nil
	c.changed.Broadcast()
	c.mu.Unlock()
	if err == nil {
		err = ErrClosed
	}
	c.cancel(err)
	_ = c.running.wait(context.Background()) // which has no end
	if f := c.opts.OnClosed; f != nil {
		f(c.Err())
	}
	close(c.done)
}

func (c *Connection) now() time.Duration { return time.Since(c.start) }

func (c *Connection) touch() { c.lastSent.Store(int64(c.now())) }

func (c *Connection) frame(data []byte) wsmanager.Message {
	return wsmanager.Message{Type: c.protocol.MessageType(), Payload: data}
}

func (c *Connection) logger() *slog.Logger {
	if c.opts.Logger != nil {
		return c.opts.Logger
	}
	return slog.Default()
}

// write sends a message that counts, and waits until there is room for it. It is part of
// what was begun on the connection of this epoch: on a later one it would mean something
// else.
func (c *Connection) write(ctx context.Context, epoch uint64, m Message) error {
	data, err := c.protocol.Append(nil, m)
	if err != nil {
		return err
	}
	c.mu.Lock()
	s, r, closing := c.socket, c.replay, c.closing
	over := c.epoch != epoch
	c.mu.Unlock()
	switch {
	case closing:
		return ErrClosed
	case over, s == nil && r == nil:
		return ErrDisconnected
	case r != nil:
		err = r.write(ctx, data)
	default:
		c.touch()
		err = s.ws.Send(c.frame(data))
		if errors.Is(err, wsmanager.ErrOutboxFull) {
			c.waits(1) // for the server, which may wait for us to read
			err = s.ws.SendContext(ctx, c.frame(data))
			c.waits(-1)
		}
		err = sendFailed(err)
	}
	if errors.Is(err, ErrClosed) && !c.isClosing() {
		return ErrDisconnected
	}
	return err
}

// waits notes that a goroutine begins, or ends, to wait for something to come.
func (c *Connection) waits(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting += n
	c.changed.Broadcast()
}

// session is the present epoch.
func (c *Connection) session() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.epoch
}

func (c *Connection) replaySettings() replaySettings {
	return replaySettings{
		protocol: c.protocol, limit: c.opts.WebSocket.OutboxBytes, buffer: c.opts.StatefulBuffer, frame: c.frame, touch: c.touch,
		overflow: func(error) {}, // writes wait before, and nothing is posted
		waits:    c.waits,
	}
}

// control sends a message that does not count, if it can.
func (c *Connection) control(m Message) {
	c.mu.Lock()
	s := c.socket
	c.mu.Unlock()
	data, err := c.protocol.Append(nil, m)
	if s == nil || err != nil {
		return
	}
	c.touch()
	_ = s.ws.Send(c.frame(data)) // what is gone needs none, as does what has a full outbox
}
