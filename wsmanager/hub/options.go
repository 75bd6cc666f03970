package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/token"
)

// Options configure a Hub. The zero value is safe for production. The defaults are those of ASP.NET Core if it has the
// option. New reports all mistakes at once.
type Options struct {
	// Logger gets a record for each call that fails for a reason that its caller does not read, and wsmanager's records of
	// connections. Default: the slog.Default() of the time.
	Logger *slog.Logger

	// Protocols are the protocols that clients may request in their handshake, at most wsmanager.MaxVariants. Default:
	// [JSON].
	Protocols []Protocol

	// Authenticate returns the identity behind a request. It is called for the negotiation, for the connection and for each
	// socket that resumes the connection, always before the server accepts them. token is the bearer token of the
	// Authorization header, or of access_token in the query because browsers cannot send headers with a WebSocket. It is ""
	// without either. Authenticate must not keep the request. An error refuses the request: one of wsmanager.Reject with its
	// status and text, others with 500 and a general text. A connection must come from the user that negotiated it. Default:
	// all clients may connect, with the zero Identity.
	Authenticate func(r *http.Request, token string) (Identity, error)

	// ConnContext may change the context of each new connection, from which the contexts of its calls and hooks derive. ctx is
	// WebSocket.BaseContext. r is the request of the first socket: the application keeps what it needs of it as values of
	// the context, for example the address or a header, but neither r nor r.Context(). It is called after Authenticate, and
	// not for sockets that resume, but for each of several that have not completed their handshake. It must not return nil. The end of the context ends the contexts of calls, but not the
	// connection.
	ConnContext func(ctx context.Context, r *http.Request) context.Context

	// Redirect may send a client that negotiates to another server. It returns the URL of a hub and an access token for it,
	// or "" to keep the client. The client's start fails with the text of an [Error]; other errors are answered like errors
	// of Authenticate. Default: no client is redirected.
	Redirect func(r *http.Request, identity Identity) (url, accessToken string, err error)

	// Connected is called for each connection after its handshake and before the first of its calls begins. An error closes
	// the connection; the client reads the text of an [Error].
	Connected func(ctx *Context) error

	// Disconnected is called exactly once for each connection for which Connected was called, after Connected has returned.
	// Calls of the connection may still run unless DisconnectedAfterCalls is set; their contexts have ended. ctx has not
	// ended, and sends to other connections are delivered. err is nil if the client or Abort closed the connection. A connection that may be resumed has not
	// ended.
	Disconnected func(ctx *Context, err error)

	// DisconnectedAfterCalls calls Disconnected after the last call of the connection has returned. A call that ignores the
	// end of its context delays it. Default: Disconnected does not wait.
	DisconnectedAfterCalls bool

	// Filters run around each call. The first is the outermost.
	Filters []Filter

	// Events declare the events that the hub sends and the client methods that it invokes, with their types: each is an
	// [Event] or a [ClientMethod], with any number of arguments. [New] checks that their names are unique and that their
	// types can be encoded. [TypeScript] writes them. Events that are not declared can be sent, too.
	Events []Declaration

	// KeepAliveInterval is how long the server sends nothing before it sends a ping. Clients give up after 30 s without a
	// message. Default: 15 s.
	KeepAliveInterval time.Duration

	// ClientTimeout is how long the server waits for a message of a client before it closes the connection. Clients send a
	// ping every 15 s. It must be above KeepAliveInterval, because many clients only ping when they receive something.
	// Default: 30 s.
	ClientTimeout time.Duration

	// HandshakeTimeout limits the time until a client has sent its handshake. Default: 15 s.
	HandshakeTimeout time.Duration

	// MaxReceiveSize limits the bytes of one hub message (record) of a client, without its framing. A bigger one ends the
	// connection. A WebSocket message may hold any number of hub messages. Default: 32 KiB.
	MaxReceiveSize int

	// MaxSendSize limits the bytes of one hub message to a client, without its framing. A bigger one is not sent: sends,
	// [Invoke] and streams fail with wsmanager.ErrMessageTooBig, and a call with such a result is answered with an error. A
	// message within the limit is taken if nothing else waits for the client, even if it is bigger than
	// WebSocket.Outbox.Bytes; while it waits, it does not count for that. [NoLimit] switches the limit off: then the
	// application's own messages bound the memory. Clients have limits of their own. Default: 1 MiB.
	MaxSendSize int

	// MaxParallelCalls limits how many calls of one client run at a time. Further calls wait and begin in order. Calls that
	// stream in either direction and calls that wait for [Invoke] do not count. With more than 1, calls may overtake each
	// other. Default: 1.
	MaxParallelCalls int

	// MaxPendingCalls limits how many calls of one client wait or run, including streams. At the limit the server stops
	// reading from the client until a call ends. If no call can end without further messages of the client, because all
	// running calls are streams or wait for the client, the connection ends. Default: 1024.
	MaxPendingCalls int

	// MaxPendingBytes limits the memory of one client's data that waits: of the calls that count for MaxPendingCalls, with
	// decoded arguments, names, ids and about 512 bytes for each call, 2.5 KB for one that returns a stream, or 7 KB for one
	// that takes streams, with the same consequences; and of the items of its streams, for which the server stops reading
	// until a method has taken some. Separately, it limits the encoded results and items that wait until the client reads;
	// further ones are encoded later. One that is alone may be larger. Default: 1 MiB.
	MaxPendingBytes int

	// StreamBuffer is how many items of a client's stream are buffered for the method. When the buffer is full, the server
	// stops reading from the client. A method that takes several streams must therefore take from all of them, or return.
	// Default: 10.
	StreamBuffer int

	// StatefulReconnect lets clients that request it resume a broken connection without loss: the connection keeps its id,
	// groups and running calls. Messages that the client has not acknowledged stay in memory. Default: such clients get a new
	// connection.
	StatefulReconnect bool

	// StatefulBuffer is how many bytes may be unacknowledged before results and items of streams wait. Messages that cannot
	// wait (Send, and all messages while the client is not read from) may exceed it up to WebSocket.Outbox.Bytes; at that
	// limit Send ends the connection. A message that is bigger than WebSocket.Outbox.Bytes waits until the client has
	// acknowledged all others; Send ends the connection instead if there are others. A client is acknowledged once a
	// second, and as soon as it has sent 32 KB. Microsoft's clients acknowledge once a second only, so results and items
	// of one connection to them take at most StatefulBuffer bytes per second, and events that exceed WebSocket.Outbox.Bytes
	// in a second end it, also if the client reads them all: raise both if a connection has to carry more. Default: 100 000.
	StatefulBuffer int

	// ResumeWindow is how long a broken connection can be resumed. Default: 15 s.
	ResumeWindow time.Duration

	// Keys seal the tokens of negotiations, which clients can neither make nor read. Each key has 16, 24 or 32 random bytes
	// (AES-128, AES-192 or AES-256). The first key seals, all keys open: to replace a key, add the new one behind it on all
	// nodes, then put it first, and remove the old one after NegotiationTimeout. Resumed connections need the key of their
	// token as long as they last. Nodes with the same keys accept each other's tokens, so a client need not connect to the
	// node that it has negotiated with; then their clocks must agree within a few seconds. Hubs of different purposes need
	// different keys. Default: one random key, which only this hub knows.
	Keys [][]byte

	// NegotiationTimeout is how long a client may wait between its negotiation and its connection. A token begins at most
	// one connection on each node. With stateful reconnect, a socket that ends before its handshake does not count. Default:
	// 15 s.
	NegotiationTimeout time.Duration

	// MaxNegotiations limits how many tokens the hub remembers whose connection has ended within NegotiationTimeout after
	// the negotiation. Negotiations themselves, and connections that last, take no place. At the limit the hub forgets the
	// oldest of these tokens, and refuses all tokens that are not newer: they are valid for a shorter time. Default:
	// 100 000.
	MaxNegotiations int

	// DangerouslyDetailedErrors adds the text of all errors and panics to the errors that clients read. It is for development
	// only: such texts describe the inside of the server.
	DangerouslyDetailedErrors bool

	// WebSocket configures the connections below the hub: origins, compression, slow consumers, outboxes, driver. Some
	// defaults are different here. A WebSocket message may have any size, because clients join hub messages that they send
	// together: hub messages are handled while it arrives. Limits.MaxMessageSize, 1023 KiB, only says how much is read ahead
	// while the hub takes nothing from a client, and may be below MaxReceiveSize. Outbox.MaxMessageSize must be zero: use
	// MaxSendSize. Logger is Options.Logger. ReadyTimeout must be zero: use HandshakeTimeout. Backplane must be nil: a hub reaches the connections
	// of its own process only.
	WebSocket wsmanager.Options
}

// Identity is the owner of a connection.
type Identity struct {
	// User is the name under which [Clients.User] reaches all connections of a user. "" means that the connection belongs to
	// no user.
	User string

	// Value is for the application, for example claims or a session. See [Context.Identity].
	Value any

	// Expires is when the server ends the connection, with a Close message that lets the client reconnect with a new token
	// ([ErrExpired]). The request that resumes a broken connection sets a new time. A request of an identity that has
	// expired is refused with 401. The zero time is never.
	Expires time.Time
}

func (o Options) withDefaults() (Options, error) {
	d := defaults{options: "Options"}
	d.duration("KeepAliveInterval", &o.KeepAliveInterval, 15*time.Second)
	d.duration("ClientTimeout", &o.ClientTimeout, 30*time.Second)
	d.duration("HandshakeTimeout", &o.HandshakeTimeout, 15*time.Second)
	d.duration("ResumeWindow", &o.ResumeWindow, 15*time.Second)
	d.duration("NegotiationTimeout", &o.NegotiationTimeout, 15*time.Second)
	d.number("MaxReceiveSize", &o.MaxReceiveSize, 32<<10)
	d.size("MaxSendSize", &o.MaxSendSize, 1<<20)
	d.number("MaxParallelCalls", &o.MaxParallelCalls, 1)
	d.number("MaxPendingCalls", &o.MaxPendingCalls, 1024)
	d.number("MaxPendingBytes", &o.MaxPendingBytes, 1<<20)
	d.number("StreamBuffer", &o.StreamBuffer, 10)
	d.number("StatefulBuffer", &o.StatefulBuffer, 100_000)
	d.number("MaxNegotiations", &o.MaxNegotiations, 100_000)
	for i, key := range o.Keys {
		if !token.ValidKey(key) {
			d.add("Keys[%d] has %d bytes: a key has 16, 24 or 32", i, len(key))
		}
	}
	if o.ClientTimeout <= o.KeepAliveInterval {
		d.add("ClientTimeout (%v) must be above KeepAliveInterval (%v), because clients ping when they receive something", o.ClientTimeout, o.KeepAliveInterval)
	}
	o.completeProtocols(&d)
	o.Filters = slices.Clone(o.Filters)
	if slices.ContainsFunc(o.Filters, func(f Filter) bool { return f == nil }) {
		d.add("Filters has a nil filter")
	}
	o.Events = slices.Clone(o.Events)
	o.completeWebSocket(&d)
	return o, errors.Join(append(d.errs, checkDeclarations(o.Events))...)
}

// defaults fills in default values and collects the mistakes in options.
type defaults struct {
	options string // name of the options' type
	errs    []error
}

func (d *defaults) add(format string, args ...any) {
	d.errs = append(d.errs, fmt.Errorf("hub: "+d.options+"."+format, args...))
}

func (d *defaults) number(name string, v *int, def int) {
	if *v == 0 {
		*v = def
	} else if *v < 0 {
		d.add("%s is %d: it must be positive, or 0 for the default of %d", name, *v, def)
	}
}

func (d *defaults) duration(name string, v *time.Duration, def time.Duration) {
	if *v == 0 {
		*v = def
	} else if *v < 0 {
		d.add("%s is %v: it must be positive, or 0 for the default of %v", name, *v, def)
	}
}

func (o *Options) completeProtocols(d *defaults) {
	o.Protocols = slices.Clone(o.Protocols)
	if len(o.Protocols) == 0 {
		o.Protocols = []Protocol{JSON()}
	}
	if len(o.Protocols) > wsmanager.MaxVariants {
		d.add("Protocols has %d protocols: at most %d are possible", len(o.Protocols), wsmanager.MaxVariants)
		return
	}
	seen := make(map[string]bool)
	for _, p := range o.Protocols {
		switch {
		case p == nil:
			d.add("Protocols has a nil protocol")
			return
		case seen[p.Name()]:
			d.add("Protocols has %q twice", p.Name())
			return
		}
		seen[p.Name()] = true
	}
}

// completeWebSocket sets the hub's own defaults and checks the options that must match the hub's. wsmanager checks the
// others.
func (o *Options) completeWebSocket(d *defaults) {
	ws := &o.WebSocket
	if ws.Logger == nil {
		ws.Logger = o.Logger
	}
	completeSizes(d, &ws.Limits, &ws.Outbox)
	if ws.ReadyTimeout != 0 {
		d.add("WebSocket.ReadyTimeout is set: use HandshakeTimeout")
	}
	if ws.Backplane != nil {
		d.add("WebSocket.Backplane is set: a hub reaches the connections of its own process only")
	}
	ws.ReadyTimeout = 2 * min(o.HandshakeTimeout, math.MaxInt64/2) // longer than the hub's time-out, which tells the client the reason
	if ws.Outbox.Bytes > 0 && o.StatefulBuffer >= ws.Outbox.Bytes {
		d.add("StatefulBuffer (%d) must be below WebSocket.Outbox.Bytes (%d): set a smaller StatefulBuffer, or more Outbox.Bytes", o.StatefulBuffer, ws.Outbox.Bytes)
	}
}
