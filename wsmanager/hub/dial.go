package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// DialOptions configure a [Connection]. The zero value is safe for production. Where
// Microsoft's clients have a default, it is the same, except that a Connection
// connects again by itself.
type DialOptions struct {
	// Protocol is what to speak. Default: [JSON].
	Protocol Protocol

	// Handlers are what the server may call, from the first message on; see
	// [Connection.On].
	Handlers Methods

	// Logger gets a record for each call of the server that no handler fits or whose
	// handler fails. Default: slog.Default(), asked each time.
	Logger *slog.Logger

	// AccessToken is asked for a token at each attempt to connect, "" for none. It is
	// sent as a bearer token with the negotiation and with the WebSocket. Its error
	// fails the attempt.
	AccessToken func(ctx context.Context) (string, error)

	// SkipNegotiation connects at once: one request less, and no need for sticky
	// sessions. Such a connection does not know its id, is not redirected, and can't be
	// resumed.
	SkipNegotiation bool

	// StatefulReconnect asks the server to keep the connection when it breaks, so that it
	// goes on with nothing lost. Where the server does not offer that, or has given the
	// connection up, it is made anew.
	StatefulReconnect bool

	// StatefulBuffer is how many bytes may be unacknowledged until sends wait. Default:
	// 100 000.
	StatefulBuffer int

	// ReconnectDelays are the delays before the attempts to connect again; after the
	// last the connection ends. Empty and not nil: it ends when it breaks.
	// Default: 0, 2, 10 and 30 s.
	ReconnectDelays []time.Duration

	// RetryDelay replaces ReconnectDelays: it says how long to wait before the next
	// attempt, or false to give up.
	RetryDelay func(Retry) (time.Duration, bool)

	// OnReconnecting is told when the connection has broken and is made anew, and
	// OnReconnected when it was, with its new id: the server knows no groups of it any
	// more. A connection that is resumed tells nothing. OnClosed is told of the end,
	// once, with what [Connection.Err] returns. They run one at a time, and the next
	// attempt waits for them.
	OnReconnecting func(err error)
	OnReconnected  func(id string)
	OnClosed       func(err error)

	// KeepAliveInterval is how long nothing is sent before a ping goes out, ServerTimeout
	// how long nothing may come. Default: 15 s, 30 s.
	KeepAliveInterval time.Duration
	ServerTimeout     time.Duration

	// HandshakeTimeout is how long an attempt to connect may take, after its negotiation,
	// which has the same. Default: 15 s.
	HandshakeTimeout time.Duration

	// MaxMessageSize is how many bytes a message of the server may have. A bigger one
	// ends the connection. Default: 1 MiB.
	MaxMessageSize int

	// StreamBuffer is how many items of a stream of results are kept until they are
	// taken, and how many calls of the server until they are handled. Then the server
	// is not read from, unless something else waits for it; where that is so, up to
	// ReceiveBuffer bytes are kept altogether. Beyond that the stream fails, or the
	// connection ends, with [ErrSlowConsumer]. Default: 100, and 16 MiB, which is
	// more than a system keeps of what was not read.
	StreamBuffer  int
	ReceiveBuffer int

	// HTTPClient is for negotiations. Default: one with Proxy, TLSConfig and NetDial of
	// WebSocket.
	HTTPClient *http.Client

	// WebSocket is what lies below: headers (which the negotiation has as well), TLS,
	// proxy, compression, outbox. MaxMessageSize is twice that of these Options by
	// default; Logger is theirs.
	WebSocket wsmanager.DialOptions
}

// Retry is an attempt to connect again that may follow.
type Retry struct {
	Attempt int           // since the connection broke, from 1
	Elapsed time.Duration // since then
	Err     error         // why it broke, or why the last attempt failed
}

// Dial connects to a hub as a client: this one's, or one of ASP.NET Core. The URL is
// the hub's, of scheme http, https, ws or wss; a query in it is kept.
//
// It returns when the hub has agreed. If that fails nothing is tried again: the error is
// a *[wsmanager.RefusedError] for an answer that is no agreement, a *[RemoteError] for
// the text that a hub refuses with, one of the network, or the cause of ctx, which is
// for the time until Dial returns. All mistakes in the arguments are reported
// at once. The connection ends with [Connection.Close].
func Dial(ctx context.Context, rawURL string, opts DialOptions) (*Connection, error) {
	opts, err := opts.withDefaults()
	target, err2 := parseURL(rawURL)
	handlers := make(map[string][]*method)
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(opts.Handlers)) {
		m, err := inspectHandler(name, opts.Handlers[name])
		errs = append(errs, err)
		folded := strings.ToLower(name)
		handlers[folded] = append(handlers[folded], m)
	}
	if err := errors.Join(err, err2, errors.Join(errs...)); err != nil {
		return nil, err
	}
	c := newConnection(target, handlers, opts)
	l, err := c.connect(ctx)
	if err != nil {
		c.cancel(err)
		return nil, fmt.Errorf("hub: connecting to %s://%s%s: %w", target.Scheme, target.Host, target.EscapedPath(), err)
	}
	go c.run(l)
	return c, nil
}

func parseURL(rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("hub: the URL can't be parsed") // what is wrong with it may be secret
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
		return nil, errors.New("hub: the URL names no host")
	}
	u.Fragment = ""
	return u, nil
}

func (o DialOptions) withDefaults() (DialOptions, error) {
	var errs []error
	number := func(name string, v *int, def int) {
		if *v == 0 {
			*v = def
		} else if *v < 0 {
			errs = append(errs, fmt.Errorf("hub: DialOptions.%s is %d: it must be positive, or 0 for the default of %d", name, *v, def))
		}
	}
	duration := func(name string, v *time.Duration, def time.Duration) {
		if *v == 0 {
			*v = def
		} else if *v < 0 {
			errs = append(errs, fmt.Errorf("hub: DialOptions.%s is %v: it must be positive, or 0 for the default of %v", name, *v, def))
		}
	}
	duration("KeepAliveInterval", &o.KeepAliveInterval, 15*time.Second)
	duration("ServerTimeout", &o.ServerTimeout, 30*time.Second)
	duration("HandshakeTimeout", &o.HandshakeTimeout, 15*time.Second)
	number("StatefulBuffer", &o.StatefulBuffer, 100_000)
	number("MaxMessageSize", &o.MaxMessageSize, 1<<20)
	number("StreamBuffer", &o.StreamBuffer, 100)
	number("ReceiveBuffer", &o.ReceiveBuffer, 16<<20)
	if o.ReceiveBuffer > 0 && o.ReceiveBuffer < o.MaxMessageSize {
		errs = append(errs, fmt.Errorf("hub: DialOptions.ReceiveBuffer (%d) must not be below MaxMessageSize (%d)", o.ReceiveBuffer, o.MaxMessageSize))
	}
	if o.Protocol == nil {
		o.Protocol = JSON()
	}
	if o.ReconnectDelays == nil {
		o.ReconnectDelays = []time.Duration{0, 2 * time.Second, 10 * time.Second, 30 * time.Second}
	}
	o.ReconnectDelays = slices.Clone(o.ReconnectDelays)
	for _, d := range o.ReconnectDelays {
		if d < 0 {
			errs = append(errs, fmt.Errorf("hub: DialOptions.ReconnectDelays has %v: a delay can't be negative", d))
		}
	}
	if o.SkipNegotiation && o.StatefulReconnect {
		errs = append(errs, errors.New("hub: DialOptions.SkipNegotiation and StatefulReconnect are set: only what was negotiated can be resumed"))
	}
	ws := &o.WebSocket
	if ws.Logger == nil {
		ws.Logger = o.Logger
	}
	if ws.MaxMessageSize == 0 {
		ws.MaxMessageSize = min(twice(o.MaxMessageSize), math.MaxInt-2*frameRoom) + frameRoom
	} else if ws.MaxMessageSize <= o.MaxMessageSize {
		errs = append(errs, fmt.Errorf("hub: DialOptions.WebSocket.MaxMessageSize (%d) must be above MaxMessageSize (%d): a WebSocket message holds one message or more, and their framing", ws.MaxMessageSize, o.MaxMessageSize))
	}
	if ws.OutboxBytes == 0 {
		ws.OutboxBytes = max(defaultOutbox, min(ws.MaxMessageSize, math.MaxInt-frameRoom)+frameRoom)
	}
	if o.StatefulBuffer >= ws.OutboxBytes {
		errs = append(errs, fmt.Errorf("hub: DialOptions.StatefulBuffer (%d) must be below WebSocket.OutboxBytes (%d)", o.StatefulBuffer, ws.OutboxBytes))
	}
	if ws.SlowConsumer != 0 {
		errs = append(errs, errors.New("hub: DialOptions.WebSocket.SlowConsumer is set: what is sent waits, so it has no meaning"))
	}
	ws.SlowConsumer = wsmanager.SlowConsumerDropNewest // pings, which a full outbox makes needless
	ws.HandshakeTimeout = o.HandshakeTimeout
	ws.Header = ws.Header.Clone()
	if o.HTTPClient == nil {
		t := &http.Transport{
			Proxy:             http.ProxyFromEnvironment,
			DialContext:       ws.NetDial,
			TLSClientConfig:   ws.TLSConfig.Clone(),
			ForceAttemptHTTP2: true,
			DisableKeepAlives: true, // one request now and then
		}
		if ws.Proxy != nil {
			t.Proxy = ws.Proxy
		}
		o.HTTPClient = &http.Client{Transport: t}
	}
	return o, errors.Join(errs...)
}

// retryDelay is how long to wait before an attempt; false to give up.
func (o *DialOptions) retryDelay(r Retry) (time.Duration, bool) {
	if o.RetryDelay != nil {
		return o.RetryDelay(r)
	}
	if r.Attempt > len(o.ReconnectDelays) {
		return 0, false
	}
	return o.ReconnectDelays[r.Attempt-1], true
}
