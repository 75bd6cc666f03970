package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// DialOptions configure a [Connection]. The zero value is safe for production. The defaults are those of Microsoft's
// clients if they have the option, except that a Connection reconnects automatically.
type DialOptions struct {
	// Protocol is the protocol of the connection. Default: [JSON].
	Protocol Protocol

	// Handlers are the functions that the server may call, from the first message on; see [Connection.On].
	Handlers Methods

	// Logger gets a record for each call of the server that has no handler or whose handler fails. Default: the
	// slog.Default() of the time.
	Logger *slog.Logger

	// AccessToken returns a token for each attempt to connect or to resume, or "". The token is sent as a bearer token with the
	// negotiation and with the WebSocket. An error fails the attempt. If the hub redirects the client to another host, that
	// host gets the token that the hub has given for it, but neither this token nor the headers of WebSocket.
	AccessToken func(ctx context.Context) (string, error)

	// SkipNegotiation connects without a negotiation, which saves a request and needs no sticky sessions. Such a connection
	// does not know its id, is not redirected, and cannot be resumed.
	SkipNegotiation bool

	// StatefulReconnect asks the server to keep the connection when it breaks, so that it is resumed without loss. If the
	// server does not support this or has already dropped the connection, the client reconnects instead.
	StatefulReconnect bool

	// StatefulBuffer is how many bytes may be unacknowledged before sends wait. A hub of this package acknowledges once a
	// second, and as soon as it has received 32 KB. ASP.NET Core acknowledges once a second only, so one connection to it
	// takes at most StatefulBuffer bytes per second. Default: 100 000.
	StatefulBuffer int

	// ReconnectDelays are the delays before the attempts to reconnect. After the last failed attempt the Connection ends. If
	// it is empty but not nil, the Connection does not reconnect. Default: 0, 2, 10 and 30 s.
	ReconnectDelays []time.Duration

	// RetryDelay replaces ReconnectDelays. It returns the delay before the next attempt, or false to give up.
	RetryDelay func(Retry) (time.Duration, bool)

	// OnReconnecting is called when the connection has broken and will be reconnected, with the reason. It is not called
	// when the connection is resumed. OnReconnecting, OnReconnected and OnClosed run one at a time, and the next attempt
	// waits for them.
	OnReconnecting func(err error)

	// OnReconnected is called after a reconnect with the id of the new connection, which is a member of no groups. It is not
	// called when the connection was resumed.
	OnReconnected func(id string)

	// OnClosed is called once when the Connection ends, with the result of [Connection.Err].
	OnClosed func(err error)

	// KeepAliveInterval is how long the client sends nothing before it sends a ping. Default: 15 s.
	KeepAliveInterval time.Duration

	// ServerTimeout is how long the client waits for a message of the server before the connection counts as broken.
	// Default: 30 s.
	ServerTimeout time.Duration

	// HandshakeTimeout limits the duration of a negotiation, and separately that of the attempt to connect after it.
	// Default: 15 s.
	HandshakeTimeout time.Duration

	// MaxReceiveSize limits the bytes of one hub message (record) of the server, without its framing. A bigger one ends the
	// connection. A WebSocket message may hold any number of hub messages. Default: 1 MiB.
	MaxReceiveSize int

	// MaxSendSize limits the bytes of one hub message to the server, without its framing. A bigger one is not sent: calls and
	// sends fail with wsmanager.ErrMessageTooBig, the hub reads that a stream of the client has failed, or that a handler
	// has. [NoLimit] switches the limit off. The server has a limit of its own, by default 32 KiB (Options.MaxReceiveSize),
	// beyond which it ends the connection. Default: 1 MiB.
	MaxSendSize int

	// StreamBuffer is how many items of one stream of results are buffered, and how many calls of the server. When a buffer
	// is full, the client stops reading, unless it also waits for another message of the server: then ReceiveBuffer is the
	// limit. Default: 100.
	StreamBuffer int

	// ReceiveBuffer limits the bytes of all buffered items and calls. If an item exceeds it, its stream fails with
	// [ErrSlowConsumer]; if a call exceeds it, the connection ends with ErrSlowConsumer. Default: 16 MiB.
	ReceiveBuffer int

	// HTTPClient sends negotiations. Default: a client with the Network of WebSocket. A negotiation follows HTTP redirects
	// that keep it a POST (307 and 308), within the limits of the client's CheckRedirect, and never from https to http.
	HTTPClient *http.Client

	// AllowRedirectedURL allows an answer to a negotiation to send the client to another hub although the request was
	// redirected by HTTP. Such an answer does not come from the server that the URL names. Default: the attempt to connect
	// fails.
	AllowRedirectedURL bool

	// WebSocket configures the WebSocket: headers (which are also sent with the negotiation), TLS, proxy, compression and
	// outbox. Limits.MaxMessageSize, 1023 KiB, only says how much is read ahead, as on a server. Outbox.MaxMessageSize must be
	// zero: use MaxSendSize. Logger is DialOptions.Logger.
	WebSocket wsmanager.DialOptions
}

// Retry describes the attempt to reconnect that may come next.
type Retry struct {
	Attempt int           // number of the attempt since the connection broke, from 1
	Elapsed time.Duration // time since the connection broke
	Err     error         // why the connection broke or the last attempt failed
}

// Dial connects to a hub of this package or of ASP.NET Core. The URL has the scheme http, https, ws or wss. Its query is
// kept.
//
// Dial returns after the handshake. It does not retry. Its error is a *[wsmanager.RefusedError] if the server refuses the
// request, a *[RemoteError] if the hub refuses the negotiation or the handshake, an error of the network, or the cause of
// ctx, which limits Dial only. Mistakes in the arguments are reported all at once. Call [Connection.Close] to end the
// connection.
func Dial(ctx context.Context, rawURL string, opts DialOptions) (*Connection, error) {
	opts, optsErr := opts.withDefaults()
	target, urlErr := parseURL(rawURL)
	handlers, handlersErr := newHandlerTable(opts.Handlers)
	if err := errors.Join(optsErr, urlErr, handlersErr); err != nil {
		return nil, err
	}
	c := newConnection(target, handlers, opts)
	s, err := c.connect(ctx)
	if err != nil {
		c.cancel(err)
		return nil, inContext("connecting to "+target.Scheme+"://"+target.Host+target.EscapedPath(), err)
	}
	go c.run(s)
	return c, nil
}

func parseURL(rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("hub: the URL cannot be parsed") // the error would have the URL, which may have secrets
	}
	switch u.Scheme {
	case "http", "https":
	case "ws":
		u.Scheme = "http"
	case "wss":
		u.Scheme = "https"
	default:
		return nil, fmt.Errorf("hub: the URL has the scheme %q: it must be http, https, ws or wss", u.Scheme)
	}
	if u.Hostname() == "" {
		return nil, errors.New("hub: the URL has no host")
	}
	u.Fragment = ""
	return u, nil
}

func (o DialOptions) withDefaults() (DialOptions, error) {
	d := defaults{options: "DialOptions"}
	d.duration("KeepAliveInterval", &o.KeepAliveInterval, 15*time.Second)
	d.duration("ServerTimeout", &o.ServerTimeout, 30*time.Second)
	d.duration("HandshakeTimeout", &o.HandshakeTimeout, 15*time.Second)
	d.number("StatefulBuffer", &o.StatefulBuffer, 100_000)
	d.number("MaxReceiveSize", &o.MaxReceiveSize, 1<<20)
	d.size("MaxSendSize", &o.MaxSendSize, 1<<20)
	d.number("StreamBuffer", &o.StreamBuffer, 100)
	d.number("ReceiveBuffer", &o.ReceiveBuffer, 16<<20)
	if o.ReceiveBuffer > 0 && o.ReceiveBuffer < o.MaxReceiveSize {
		d.add("ReceiveBuffer (%d) must not be below MaxReceiveSize (%d): a message could not be buffered", o.ReceiveBuffer, o.MaxReceiveSize)
	}
	if o.Protocol == nil {
		o.Protocol = JSON()
	}
	if o.ReconnectDelays == nil {
		o.ReconnectDelays = []time.Duration{0, 2 * time.Second, 10 * time.Second, 30 * time.Second}
	}
	o.ReconnectDelays = slices.Clone(o.ReconnectDelays)
	for _, delay := range o.ReconnectDelays {
		if delay < 0 {
			d.add("ReconnectDelays has %v: a delay must not be negative", delay)
		}
	}
	if o.SkipNegotiation && o.StatefulReconnect {
		d.add("SkipNegotiation and StatefulReconnect are set: a connection without a negotiation cannot be resumed")
	}
	o.completeWebSocket(&d)
	if o.HTTPClient == nil {
		o.HTTPClient = o.defaultHTTPClient()
	}
	return o, errors.Join(d.errs...)
}

func (o *DialOptions) completeWebSocket(d *defaults) {
	ws := &o.WebSocket
	if ws.Logger == nil {
		ws.Logger = o.Logger
	}
	completeSizes(d, &ws.Limits, &ws.Outbox)
	if o.StatefulBuffer >= ws.Outbox.Bytes {
		d.add("StatefulBuffer (%d) must be below WebSocket.Outbox.Bytes (%d): set a smaller StatefulBuffer, or more Outbox.Bytes", o.StatefulBuffer, ws.Outbox.Bytes)
	}
	if ws.SlowConsumer != 0 {
		d.add("WebSocket.SlowConsumer is set: it has no effect, because sends wait")
	}
	ws.SlowConsumer = wsmanager.SlowConsumerDropNewest // for pings: behind a full outbox they are not needed
	ws.Timeouts.Handshake = o.HandshakeTimeout
	ws.Handshake.Header = ws.Handshake.Header.Clone()
}

func (o *DialOptions) defaultHTTPClient() *http.Client {
	ws := &o.WebSocket
	t := &http.Transport{
		Proxy:             http.ProxyFromEnvironment,
		DialContext:       ws.Network.Dial,
		TLSClientConfig:   ws.Network.TLS.Clone(),
		ForceAttemptHTTP2: true,
		DisableKeepAlives: true, // negotiations are rare
	}
	if ws.Network.Proxy != nil {
		t.Proxy = ws.Network.Proxy
	}
	return &http.Client{Transport: t}
}

// sessionConfig needs options with defaults.
func (o *DialOptions) sessionConfig() sessionConfig {
	return sessionConfig{
		start:             time.Now(),
		keepAliveInterval: o.KeepAliveInterval,
		timeout:           o.ServerTimeout,
		maxReceiveSize:    o.MaxReceiveSize,
		maxSendSize:       o.MaxSendSize,
		replayLimit:       o.WebSocket.Outbox.Bytes,
		replayBuffer:      o.StatefulBuffer,
		maxJoined:         joinedLimit(o.WebSocket.Outbox.Bytes),
		reportWaits:       true,
	}
}

// retryDelay returns the delay before an attempt, or false to give up.
func (o *DialOptions) retryDelay(r Retry) (time.Duration, bool) {
	if o.RetryDelay != nil {
		return o.RetryDelay(r)
	}
	if r.Attempt > len(o.ReconnectDelays) {
		return 0, false
	}
	return o.ReconnectDelays[r.Attempt-1], true
}
