package hub

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// Options configure a Hub. The zero value is safe for production; New reports every
// mistake at once. Where ASP.NET Core has a default, it is the same.
type Options struct {
	// Logger gets a record for each call that fails for a reason that its caller is
	// not told, and what wsmanager logs of connections. Default: slog.Default(), asked
	// each time.
	Logger *slog.Logger

	// Protocols are what clients may ask for in their handshake; at most
	// wsmanager.MaxVariants. Default: [JSON].
	Protocols []Protocol

	// Authenticate says who a request comes from. It is asked for the negotiation, for
	// the connection and for each that resumes one, always before anything is taken
	// over; token is the bearer token of the Authorization header, or else of the
	// query's access_token (browsers can't send headers with a WebSocket), "" if there
	// is neither. It is not to keep the request. An error refuses: one of
	// wsmanager.Reject with its status and text, any other with a 500 that says
	// nothing. A connection has to come from the user who has negotiated it. Default:
	// nobody is anybody, and all may connect.
	Authenticate func(r *http.Request, token string) (Identity, error)

	// Redirect may send a client that negotiates to another server: to the URL of a hub,
	// with a token for it, "" for none. An [Error] is what the client's start fails with;
	// other errors are as Authenticate's. Default: clients stay.
	Redirect func(r *http.Request, who Identity) (url, accessToken string, err error)

	// Connected is called for each connection when its handshake is over, before the
	// first of its calls begins. An error closes it; an [Error] as its text says.
	Connected func(ctx *Context) error

	// Disconnected is called exactly once for each connection for which Connected was,
	// after that has returned. Calls may still run: their contexts have ended. This ctx
	// has not, and sends to others go out. err is nil if the client left in order or a
	// call of Abort ended it. A connection that may be resumed has not ended.
	Disconnected func(ctx *Context, err error)

	// Filters run around each call, the first outermost.
	Filters []Filter

	// KeepAliveInterval is how long nothing is sent before a ping goes out. Clients
	// give up after 30 s without anything. Default: 15 s.
	KeepAliveInterval time.Duration

	// ClientTimeout is how long nothing may come from a client. Clients send a ping
	// each 15 s. It must be above KeepAliveInterval, as many clients ping only when they
	// hear something. Default: 30 s.
	ClientTimeout time.Duration

	// HandshakeTimeout is how long a client may take for its handshake. Default: 15 s.
	HandshakeTimeout time.Duration

	// MaxMessageSize is how many bytes a message of a client may have. A bigger one ends
	// the connection. A WebSocket message may hold several: see WebSocket. Default: 32
	// KiB.
	MaxMessageSize int

	// MaxParallelCalls is how many calls of one client run at a time; more wait, and
	// begin in their order. Not counted are calls that stream, in either direction, and
	// those that wait for [Invoke]. With more than 1, calls overtake each other.
	// Default: 1.
	MaxParallelCalls int

	// MaxPendingCalls and MaxPendingBytes bound the calls of one client that wait or
	// run, streams among them, and the bytes of their arguments, names and ids. A client that sends
	// more is not read from until there is room; if there will be none without the
	// client's doing, because all that runs are streams and calls that wait for it, the
	// connection ends. Default: 1024 and 1 MiB.
	MaxPendingCalls int
	MaxPendingBytes int

	// StreamBuffer is how many items of a stream that a client sends are kept until
	// the method takes them. Then the client is not read from any more: so a method
	// that takes streams must take from each of them, or return. Default: 10.
	StreamBuffer int

	// StatefulReconnect lets clients that ask for it resume a connection that broke,
	// as the same connection, with nothing lost in between. What a client has not
	// acknowledged is kept in memory. Default: such clients connect anew.
	StatefulReconnect bool

	// StatefulBuffer is how many bytes may be unacknowledged until results and items
	// of streams wait. What can't wait (Send; all, while the client is not read from)
	// goes over it, up to WebSocket.OutboxBytes; beyond that Send ends the connection.
	// Default: 100 000.
	StatefulBuffer int

	// ResumeWindow is for how long a connection that broke can be resumed. Default: 15 s.
	ResumeWindow time.Duration

	// NegotiationTimeout is for how long a negotiated connection may be made, and
	// MaxNegotiations how many of them may be open: the oldest goes first. Default: 15 s
	// and 10 000.
	NegotiationTimeout time.Duration
	MaxNegotiations    int

	// DangerouslyDetailedErrors adds the text of every error, panics included, to what
	// clients read. For development only: such texts tell strangers about the inside.
	DangerouslyDetailedErrors bool

	// WebSocket is what lies below: origins, compression, slow consumers, outboxes, the
	// driver. Different defaults here: MaxMessageSize is 1023 KiB, as the JavaScript
	// client joins what it sends at once into one WebSocket message (a bigger one ends
	// the connection with 1009 and without a Close message); Logger is that of these
	// Options. ReadyTimeout is HandshakeTimeout's matter and must be zero, as must
	// Backplane: a hub reaches the connections of its own process only.
	WebSocket wsmanager.Options
}

// Identity is who a connection belongs to.
type Identity struct {
	// User is the name that [Clients.User] reaches all connections of one user by. ""
	// is nobody.
	User string

	// Value is the application's own: claims, a session. See [Context.Identity].
	Value any
}

func (o Options) withDefaults() (Options, error) {
	var errs []error
	number := func(name string, v *int, def int) {
		if *v == 0 {
			*v = def
		} else if *v < 0 {
			errs = append(errs, fmt.Errorf("hub: Options.%s is %d: it must be positive, or 0 for the default of %d", name, *v, def))
		}
	}
	duration := func(name string, v *time.Duration, def time.Duration) {
		if *v == 0 {
			*v = def
		} else if *v < 0 {
			errs = append(errs, fmt.Errorf("hub: Options.%s is %v: it must be positive, or 0 for the default of %v", name, *v, def))
		}
	}
	duration("KeepAliveInterval", &o.KeepAliveInterval, 15*time.Second)
	duration("ClientTimeout", &o.ClientTimeout, 30*time.Second)
	duration("HandshakeTimeout", &o.HandshakeTimeout, 15*time.Second)
	duration("ResumeWindow", &o.ResumeWindow, 15*time.Second)
	duration("NegotiationTimeout", &o.NegotiationTimeout, 15*time.Second)
	number("MaxMessageSize", &o.MaxMessageSize, 32<<10)
	number("MaxParallelCalls", &o.MaxParallelCalls, 1)
	number("MaxPendingCalls", &o.MaxPendingCalls, 1024)
	number("MaxPendingBytes", &o.MaxPendingBytes, 1<<20)
	number("StreamBuffer", &o.StreamBuffer, 10)
	number("StatefulBuffer", &o.StatefulBuffer, 100_000)
	number("MaxNegotiations", &o.MaxNegotiations, 10_000)
	if o.ClientTimeout <= o.KeepAliveInterval {
		errs = append(errs, fmt.Errorf("hub: Options.ClientTimeout (%v) must be above KeepAliveInterval (%v): clients ping when they hear something", o.ClientTimeout, o.KeepAliveInterval))
	}
	errs = append(errs, o.checkProtocols())
	o.Filters = slices.Clone(o.Filters)
	if slices.ContainsFunc(o.Filters, func(f Filter) bool { return f == nil }) {
		errs = append(errs, errors.New("hub: Options.Filters has a nil filter"))
	}
	errs = append(errs, o.completeWebSocket())
	return o, errors.Join(errs...)
}

func (o *Options) checkProtocols() error {
	o.Protocols = slices.Clone(o.Protocols)
	if len(o.Protocols) == 0 {
		o.Protocols = []Protocol{JSON()}
	}
	if len(o.Protocols) > wsmanager.MaxVariants {
		return fmt.Errorf("hub: Options.Protocols has %d protocols: there can be %d", len(o.Protocols), wsmanager.MaxVariants)
	}
	seen := make(map[string]bool)
	for _, p := range o.Protocols {
		switch {
		case p == nil:
			return errors.New("hub: Options.Protocols has a nil protocol")
		case seen[p.Name()]:
			return fmt.Errorf("hub: Options.Protocols has %q twice", p.Name())
		}
		seen[p.Name()] = true
	}
	return nil
}

// defaultOutbox is wsmanager's default of OutboxBytes.
const defaultOutbox = 1 << 20

// frameRoom is more than the header of a frame has.
const frameRoom = 1 << 10

// defaultMaxWebSocketMessage leaves room for a frame's header in the default outbox.
const defaultMaxWebSocketMessage = defaultOutbox - frameRoom

// twice doubles a number of bytes, up to the largest int: an int may have 32 bits.
func twice(n int) int { return 2 * min(n, math.MaxInt/2) }

// completeWebSocket fills in what the hub knows better, and finds what does not fit
// it. The rest is wsmanager's to check.
func (o *Options) completeWebSocket() error {
	ws := &o.WebSocket
	if ws.Logger == nil {
		ws.Logger = o.Logger
	}
	if ws.OutboxBytes == 0 {
		ws.OutboxBytes = defaultOutbox
	}
	if ws.MaxMessageSize == 0 {
		ws.MaxMessageSize = max(defaultMaxWebSocketMessage, min(twice(o.MaxMessageSize), math.MaxInt-frameRoom))
		ws.OutboxBytes = max(ws.OutboxBytes, ws.MaxMessageSize+frameRoom)
	}
	var errs []error
	if ws.ReadyTimeout != 0 {
		errs = append(errs, errors.New("hub: Options.WebSocket.ReadyTimeout is set: use HandshakeTimeout"))
	}
	if ws.Backplane != nil {
		errs = append(errs, errors.New("hub: Options.WebSocket.Backplane is set: a hub reaches the connections of its own process only"))
	}
	ws.ReadyTimeout = 2 * min(o.HandshakeTimeout, math.MaxInt64/2) // the hub's own, which says why, comes first
	if ws.MaxMessageSize > 0 && ws.MaxMessageSize <= o.MaxMessageSize {
		errs = append(errs, fmt.Errorf("hub: Options.WebSocket.MaxMessageSize (%d) must be above MaxMessageSize (%d): a WebSocket message holds one message or more, and their framing", ws.MaxMessageSize, o.MaxMessageSize))
	}
	if ws.OutboxBytes > 0 && o.StatefulBuffer >= ws.OutboxBytes {
		errs = append(errs, fmt.Errorf("hub: Options.StatefulBuffer (%d) must be below WebSocket.OutboxBytes (%d)", o.StatefulBuffer, ws.OutboxBytes))
	}
	return errors.Join(errs...)
}
