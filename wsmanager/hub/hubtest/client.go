package hubtest

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// Options configure a [Client]. The zero value is a client of JSON at the path /hub.
type Options struct {
	// Handler serves the hub, for a hub behind middleware. Default: the hub.
	Handler http.Handler

	// Path is the path of the hub, with a query if it needs one. Default: "/hub".
	Path string

	// Token is the access token, sent as a bearer token. Default: none.
	Token string

	// Header is sent with the negotiation and the WebSocket.
	Header http.Header

	// Protocol is the protocol. Default: hub.JSON().
	Protocol hub.Protocol

	// Stateful asks for stateful reconnect, which [Client.Resume] needs. The hub must allow it
	// (hub.Options.StatefulReconnect).
	Stateful bool

	// Handlers are registered before the first message; see [Client.On].
	Handlers hub.Methods

	// Patience is how long the client waits for anything. In a testing/synctest bubble make it longer than any wait of the
	// test: waiting takes no time there. Default: wstest.Patience.
	Patience time.Duration
}

// Client is a client of a hub in a test.
type Client struct {
	t        testing.TB
	hub      *hub.Hub
	conn     *hub.Connection
	network  *network
	protocol *catchAll
	patience time.Duration
	stateful bool

	mu     sync.Mutex // guards events
	events []Event
	more   chan struct{} // buffered; gets a value when an event was added
}

// Connect connects to a hub. It fails the test if the hub refuses the connection. When it returns, the hub can send to the
// client, but Options.Connected of the hub may not have returned; the client's calls wait for that. The client disconnects at
// the end of the test.
func Connect(t testing.TB, h *hub.Hub, opts Options) *Client {
	t.Helper()
	c, err := dial(t, h, opts)
	if err != nil {
		t.Fatalf("hubtest: %v", err)
	}
	return c
}

// ConnectFails connects to a hub that must refuse the connection, and returns the error: a *wsmanager.RefusedError with the
// status of a refused request, or a *hub.RemoteError with the text of a refused negotiation or handshake.
func ConnectFails(t testing.TB, h *hub.Hub, opts Options) error {
	t.Helper()
	_, err := dial(t, h, opts)
	if err == nil {
		t.Fatalf("hubtest: the hub has accepted the connection")
	}
	return err
}

func dial(t testing.TB, h *hub.Hub, opts Options) (*Client, error) {
	t.Helper()
	opts = opts.withDefaults(h)
	c := &Client{
		t: t, hub: h, stateful: opts.Stateful, patience: opts.Patience, more: make(chan struct{}, 1),
		network:  &network{listener: wstest.Listen(64 << 10)},
		protocol: &catchAll{Protocol: opts.Protocol, handled: make(map[string]int)},
	}
	serve(t, c.network.listener, opts.Handler)
	handlers := hub.Methods{anyMethod: c.received}
	for name, fn := range opts.Handlers {
		handlers[name] = fn
		c.protocol.add(name, 1)
	}
	ctx, cancel := c.context()
	defer cancel()
	var err error
	c.conn, err = hub.Dial(ctx, "http://hub.test"+opts.Path, hub.DialOptions{
		Protocol: c.protocol, Handlers: handlers, Logger: slog.New(slog.DiscardHandler),
		AccessToken:       func(context.Context) (string, error) { return opts.Token, nil },
		StatefulReconnect: opts.Stateful,
		ReconnectDelays:   []time.Duration{}, // a test connects again itself
		MaxReceiveSize:    16 << 20,          // the limits of the hub count
		MaxSendSize:       hub.NoLimit,
		WebSocket: wsmanager.DialOptions{
			Handshake: wsmanager.Handshake{Header: opts.Header},
			Network:   wsmanager.Network{Dial: c.network.dial, Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }},
		},
	})
	if err != nil {
		return nil, err
	}
	t.Cleanup(c.Close)
	c.waitRegistered()
	return c, nil
}

// greeting is a method that waitRegistered sends to its own client.
const greeting = "\x00greeting"

// waitRegistered waits until the hub can send to the client: a client may read the answer to its handshake a little earlier.
func (c *Client) waitRegistered() {
	c.t.Helper()
	timer := time.NewTimer(c.patience)
	defer timer.Stop()
	for errors.Is(c.hub.Clients().Client(c.ID()).Send(greeting), hub.ErrNoConnection) {
		select {
		case <-c.conn.Done(): // the hub has closed the connection
			return
		case <-timer.C:
			c.t.Fatalf("hubtest: the hub does not have the connection: does Options.Handler serve another hub?")
		case <-time.After(100 * time.Microsecond):
		}
	}
}

func (o Options) withDefaults(h *hub.Hub) Options {
	if o.Handler == nil {
		o.Handler = h
	}
	if o.Path == "" {
		o.Path = "/hub"
	}
	if o.Protocol == nil {
		o.Protocol = hub.JSON()
	}
	if o.Patience == 0 {
		o.Patience = wstest.Patience
	}
	return o
}

// serve serves a handler until the end of the test.
func serve(t testing.TB, ln *wstest.Listener, h http.Handler) {
	srv := &http.Server{Handler: h}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(ln) // http.ErrServerClosed, at the end of the test
	}()
	t.Cleanup(func() {
		_ = srv.Close() // closing a wstest.Listener cannot fail
		<-served
	})
}

// context limits one step of the test.
func (c *Client) context() (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(context.Background(), c.patience, errPatience)
}

var errPatience = errors.New("it took longer than Options.Patience")

// received handles all calls of the hub without a handler.
func (c *Client) received(in call) error {
	switch {
	case in.WantsResult:
		return hub.Error("Client didn't provide a result.")
	case in.Method == greeting:
		return nil
	}
	c.mu.Lock()
	c.events = append(c.events, Event{in.Method, in.Arguments, c.protocol.Protocol})
	c.mu.Unlock()
	select {
	case c.more <- struct{}{}:
	default:
	}
	return nil
}

// ID returns the id of the connection in the hub.
func (c *Client) ID() string { return c.conn.ID() }

// Connection returns the connection of package hub below the client.
func (c *Client) Connection() *hub.Connection { return c.conn }

// On registers a handler for calls of the hub, as [hub.Connection.On]. The hub gets its result if it has called the method
// with hub.Invoke. Calls of a method with a handler are no events for [Client.Expect]. off removes the handler.
func (c *Client) On(method string, fn any) (off func()) {
	c.t.Helper()
	remove := c.conn.On(method, fn)
	c.protocol.add(method, 1)
	return sync.OnceFunc(func() {
		c.protocol.add(method, -1)
		remove()
	})
}

// Call calls a method of the hub and waits until it has returned. It ignores the result. An error fails the test.
func (c *Client) Call(method string, args ...any) {
	c.t.Helper()
	ctx, cancel := c.context()
	defer cancel()
	if err := c.conn.Call(ctx, method, args...); err != nil {
		c.t.Fatalf("hubtest: %s: %v", method, err)
	}
}

// CallFails calls a method of the hub that must fail, and returns the text of the error that the client reads.
func (c *Client) CallFails(method string, args ...any) string {
	c.t.Helper()
	ctx, cancel := c.context()
	defer cancel()
	err := c.conn.Call(ctx, method, args...)
	var remote *hub.RemoteError
	if !errors.As(err, &remote) {
		c.t.Fatalf("hubtest: %s returned %v, not an error of the hub", method, err)
	}
	return remote.Text
}

// Send calls a method of the hub without waiting for its end.
func (c *Client) Send(method string, args ...any) {
	c.t.Helper()
	ctx, cancel := c.context()
	defer cancel()
	if err := c.conn.Send(ctx, method, args...); err != nil {
		c.t.Fatalf("hubtest: %s: %v", method, err)
	}
}

// Invoke calls a method of the hub and returns its result. An error fails the test. Arguments may be streams, as for
// [hub.Invoke].
func Invoke[T any](c *Client, method string, args ...any) T {
	c.t.Helper()
	ctx, cancel := c.context()
	defer cancel()
	v, err := hub.Invoke[T](ctx, c.conn, method, args...)
	if err != nil {
		c.t.Fatalf("hubtest: %s: %v", method, err)
	}
	return v
}

// Stream calls a method of the hub that returns a stream, and yields its items. Leaving the loop cancels the call. An error
// fails the test. Options.Patience limits each wait for an item.
func Stream[T any](c *Client, method string, args ...any) iter.Seq[T] {
	return func(yield func(T) bool) {
		c.t.Helper()
		ctx, cancel := context.WithCancelCause(context.Background())
		defer cancel(nil)
		timer := time.AfterFunc(c.patience, func() { cancel(errPatience) })
		defer timer.Stop()
		for v, err := range hub.Stream[T](ctx, c.conn, method, args...) {
			if err != nil {
				c.t.Fatalf("hubtest: %s: %v", method, err)
			}
			timer.Stop()
			if !yield(v) {
				return
			}
			timer.Reset(c.patience)
		}
	}
}

// Next returns the next event: a call of a method of the client that has no handler.
func (c *Client) Next() Event {
	c.t.Helper()
	e, err := c.next()
	if err != nil {
		c.t.Fatalf("hubtest: no event: %v", err)
	}
	return e
}

// Expect waits for the next event, which must have this method and these arguments. An argument is decoded into the type of
// the expected one and compared with reflect.DeepEqual.
func (c *Client) Expect(method string, args ...any) {
	c.t.Helper()
	e, err := c.next()
	if err != nil {
		c.t.Fatalf("hubtest: no event %q: %v", method, err)
	}
	if text := e.differs(method, args); text != "" {
		c.t.Fatalf("hubtest: got the event %v, want %s with %#v: %s", e, method, args, text)
	}
}

func (c *Client) next() (Event, error) {
	timer := time.NewTimer(c.patience)
	defer timer.Stop()
	for {
		if e, ok := c.take(); ok {
			return e, nil
		}
		select {
		case <-c.more:
		case <-timer.C:
			return Event{}, errPatience
		case <-c.conn.Done():
			if e, ok := c.take(); ok {
				return e, nil
			}
			return Event{}, errors.Join(errors.New("the connection has ended"), c.conn.Err())
		}
	}
}

func (c *Client) take() (Event, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.events) == 0 {
		return Event{}, false
	}
	e := c.events[0]
	c.events = c.events[1:]
	return e, true
}

// fence is the method that ExpectNone sends to its own client behind all that the hub has sent.
const fence = "\x00fence"

// ExpectNone checks that the hub has sent no event up to now. It does not wait for events that are yet to be sent.
func (c *Client) ExpectNone() {
	c.t.Helper()
	if err := c.hub.Clients().Client(c.ID()).Send(fence); err != nil {
		c.t.Fatalf("hubtest: %v", err)
	}
	if e := c.Next(); e.Method != fence {
		c.t.Fatalf("hubtest: got the event %v, want none", e)
	}
}

// Cut breaks the connection as a lost network does: without a close frame, and all that is under way is lost. The
// client connects again when Resume is called; a client without Options.Stateful has lost its connection.
func (c *Client) Cut() { c.network.down() }

// Resume lets a client with Options.Stateful resume its connection after Cut. It does not wait until it has: the following
// calls do. If the hub has ended the connection meanwhile, so does the client: see [Client.WaitClosed].
func (c *Client) Resume() {
	c.t.Helper()
	if !c.stateful {
		c.t.Fatalf("hubtest: Resume needs Options.Stateful")
	}
	c.network.up()
}

// WaitClosed waits until the hub has closed the connection, or the client has given up to resume it. It returns why, as
// [hub.Connection.Err] does: nil if the hub closed it without an error, or a *hub.ClosedError with the text of the hub.
func (c *Client) WaitClosed() error {
	c.t.Helper()
	timer := time.NewTimer(c.patience)
	defer timer.Stop()
	select {
	case <-c.conn.Done():
	case <-timer.C:
		c.t.Fatalf("hubtest: the connection has not ended: %v", errPatience)
	}
	return c.conn.Err()
}

// Close disconnects the client, as its own stop method does, and waits until its connection has ended. The hub may learn a
// little later.
func (c *Client) Close() {
	c.t.Helper()
	c.conn.Close()
	_ = c.WaitClosed()
}
