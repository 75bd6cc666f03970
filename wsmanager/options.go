package wsmanager

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/internal/extconnect"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/handshake"
)

// Options configure a Manager. The zero value is safe for production; New
// reports every mistake at once.
type Options struct {
	// Logger gets one record for each connection that ends (with id, code,
	// reason and error) and one for each handshake that is refused. Default:
	// slog.Default(), asked each time.
	Logger *slog.Logger

	// BaseContext is the parent of every connection's Context, and what the log's
	// records of connections carry; those of refused handshakes carry the
	// request's. That it ends closes no connection: Shutdown does. Default:
	// context.Background().
	BaseContext context.Context

	// AllowedOrigins lists further origins whose pages may connect, each as a
	// browser sends it: "https://app.example.com", with the port unless it is
	// the scheme's own, and a name that is not ASCII as "xn--…". There are no
	// wildcards. Pages of the host and port that the request names in its Host
	// header may without being listed, but where the request came over TLS only
	// those that came over TLS as well; clients that send no Origin are no browsers
	// and may as well. The opaque origin "null" never may. Origins are the only
	// thing that keeps a foreign page from using a visitor's cookies here: CORS does
	// not cover WebSockets.
	AllowedOrigins []string

	// SecureOriginsOnly asks of pages of the same host that they came over TLS, also
	// where TLS ends at a proxy and the request shows none of it. Pages over plain
	// HTTP can be written by everybody on their way, and would speak here with the
	// visitor's cookies. AllowedOrigins are not touched. Default: off, as a server
	// without TLS has no other pages.
	SecureOriginsOnly bool

	// DangerouslyAllowAnyOrigin accepts pages from everywhere, "null" included.
	// Only for endpoints that grant nothing to a cookie or to the client's
	// place in the network.
	DangerouslyAllowAnyOrigin bool

	// MaxMessageSize is how many bytes a received message may have; a bigger one
	// closes with 1009 as soon as its header says so, or as soon as a compressed one
	// has inflated to more. Default: 64 KiB. With a
	// frame header of at most 10 bytes it must fit OutboxBytes, lest an echo
	// could never be sent.
	MaxMessageSize int

	// Compression is permessage-deflate, for the clients that offer it; a client offers
	// it, and servers that don't know it go without. Default: off.
	Compression Compression

	// OutboxMessages and OutboxBytes bound what waits for a peer that does not
	// read. A send beyond either meets the SlowConsumer policy. Default: 256
	// messages and 1 MiB.
	//
	// On a plain TCP socket only what the kernel does not take waits here. Over
	// TLS, and over HTTP/2, every message does until a goroutine has written it; so there a burst
	// may have 16 times as many messages as long as no write is stuck for a
	// second, but not more bytes. Who has more to send than this at once uses
	// [Conn.SendContext].
	OutboxMessages int
	OutboxBytes    int

	// SlowConsumer is the policy of a connection whose outbox is full, unless
	// OnAccept chooses another. Default: SlowConsumerClose.
	SlowConsumer SlowConsumer

	// MaxConnections is how many connections there may be, those that are still
	// closing included; a handshake beyond is answered with 503, before OnAccept.
	// Default: 0, no limit but the process's file descriptors.
	MaxConnections int

	// MessageRate is how many messages a second a peer may send, in the long run,
	// and MessageBurst how many at once; a peer that sends more is closed with
	// 1008 (ErrRateLimit). Default: 0, no limit; MessageBurst as many as a second
	// allows, at least 1.
	MessageRate  float64
	MessageBurst int

	// ControlRate is how many pings, and pongs that answer none of ours, a peer
	// may send a second; more close with 1008 (ErrRateLimit). Default: 20.
	ControlRate int

	// MaxGroups is how many groups a connection may be in. Default: 1000. To find
	// one of them takes longer the more there are.
	MaxGroups int

	// Driver is how connections wait for messages. Default: DriverAuto.
	Driver Driver

	// Block keeps ServeHTTP from returning before the socket is closed, as
	// handlers in ASP.NET Core do. Components above then see a request that lasts
	// as long as the connection: an access log writes its line at the end, with
	// the true duration; a time-out that cancels the request's context changes
	// nothing here. net/http's goroutine and request stay in memory as long, some
	// 10 KB. Panics of callbacks still end their connection and don't reach a
	// component that recovers. Default: return once the socket is accepted.
	//
	// Over HTTP/2 it is always so: the stream ends when the handler returns.
	Block bool

	// Backplane connects the Manager with those of other processes that have the same: what
	// is sent to all, to a group, to a user or to an id then reaches the connections of all
	// of them. The ids of connections are longer with it, and name the node. New does not
	// wait for it, and nothing else does but Shutdown. Default: none.
	Backplane Backplane

	// BackplaneMessages and BackplaneBytes bound what waits to be published; what
	// comes beyond is dropped for the other nodes, and counted (Stats.Backplane).
	// BackplaneTimeout is how long a message may wait there, the bus's own time
	// included: an outage that is shorter loses nothing that was to be published
	// meanwhile. Default: 4096 messages, 16 MiB and 10 s.
	BackplaneMessages int
	BackplaneBytes    int
	BackplaneTimeout  time.Duration

	// RequireHTTP2 makes New return an error unless net/http offers WebSockets over
	// HTTP/2 in this process (RFC 8441), which importing package extendedconnect
	// switches on. Connections over HTTP/2 are accepted in any case, where they come;
	// this is for programs that count on them. Default: false.
	RequireHTTP2 bool

	// PingInterval is how often a ping goes out, give or take 10 %. Default:
	// 50 s, below the 60 s after which proxies usually cut.
	PingInterval time.Duration

	// IdleTimeout is how long nothing at all may be received, pongs included.
	// It must be above PingInterval by more than the 10 % that pings vary by,
	// and should leave the answer time to arrive. Default: 110 s, two pings
	// unanswered.
	IdleTimeout time.Duration

	// WriteTimeout is how long a write may make no progress. Default: 10 s. On
	// a plain TCP socket every byte counts as progress; over TLS and HTTP/2, every
	// 16 KiB.
	WriteTimeout time.Duration

	// HandshakeTimeout is how long the handshake may take from OnAccept's return
	// until its answer is written, as far as the server's connection has
	// deadlines (net/http's own has). Default: 10 s. How long a request may take
	// to arrive is the server's to say: http.Server.ReadHeaderTimeout.
	HandshakeTimeout time.Duration

	// ReadyTimeout is how long a connection that was accepted with Accept.Deferred may
	// take until [Conn.Ready]; then it is closed with 1008 (ErrNotReady). Default: 15 s.
	ReadyTimeout time.Duration

	// CloseTimeout is how long a connection that is closing may take until it
	// is cut. Default: 5 s.
	CloseTimeout time.Duration
}

// withDefaults fills in what is zero and finds all mistakes.
func (o Options) withDefaults() (Options, error) {
	var errs []error
	size := func(name string, v *int, def int) {
		if *v == 0 {
			*v = def
		} else if *v < 0 {
			meaning := fmt.Sprintf("the default of %d", def)
			if def == 0 {
				meaning = "no limit"
			}
			errs = append(errs, fmt.Errorf("wsmanager: Options.%s is %d: it must be positive, or 0 for %s", name, *v, meaning))
		}
	}
	size("MaxMessageSize", &o.MaxMessageSize, 64<<10)
	if err := o.Compression.withDefaults(); err != nil {
		errs = append(errs, err)
	}
	size("OutboxMessages", &o.OutboxMessages, 256)
	size("OutboxBytes", &o.OutboxBytes, 1<<20)
	if o.SlowConsumer == 0 {
		o.SlowConsumer = SlowConsumerClose
	} else if !o.SlowConsumer.valid() {
		errs = append(errs, fmt.Errorf("wsmanager: Options.SlowConsumer is %d: there is no such policy", o.SlowConsumer))
	}
	if o.Driver > DriverEventLoop {
		errs = append(errs, fmt.Errorf("wsmanager: Options.Driver is %d: there is no such driver", o.Driver))
	}
	size("MaxConnections", &o.MaxConnections, 0)
	size("ControlRate", &o.ControlRate, 20)
	size("MaxGroups", &o.MaxGroups, 1000)
	if o.Backplane == nil && (o.BackplaneMessages != 0 || o.BackplaneBytes != 0 || o.BackplaneTimeout != 0) {
		errs = append(errs, errors.New("wsmanager: Options.BackplaneMessages, BackplaneBytes and BackplaneTimeout mean nothing without Backplane"))
	}
	size("BackplaneMessages", &o.BackplaneMessages, 4096)
	size("BackplaneBytes", &o.BackplaneBytes, 16<<20)
	if !(o.MessageRate >= 0) || math.IsInf(o.MessageRate, 1) { // or NaN
		errs = append(errs, fmt.Errorf("wsmanager: Options.MessageRate is %v: it must be positive, or 0 for no limit", o.MessageRate))
	}
	size("MessageBurst", &o.MessageBurst, max(1, int(min(o.MessageRate, math.MaxInt32))))
	if o.Backplane != nil && o.BackplaneBytes < o.OutboxBytes {
		errs = append(errs, fmt.Errorf("wsmanager: Options.BackplaneBytes (%d) is below OutboxBytes (%d): a message of that size could never be published", o.BackplaneBytes, o.OutboxBytes))
	}
	if o.MaxMessageSize > o.OutboxBytes || frame.Size(o.MaxMessageSize) > o.OutboxBytes {
		errs = append(errs, fmt.Errorf("wsmanager: Options.MaxMessageSize (%d) and its frame header don't fit OutboxBytes (%d): a message of that size could never be sent on; raise OutboxBytes", o.MaxMessageSize, o.OutboxBytes))
	}
	duration := func(name string, v *time.Duration, def time.Duration) {
		if *v == 0 {
			*v = def
		} else if *v < 0 {
			errs = append(errs, fmt.Errorf("wsmanager: Options.%s is %v: it must be positive, or 0 for the default of %v", name, *v, def))
		}
	}
	duration("PingInterval", &o.PingInterval, 50*time.Second)
	duration("IdleTimeout", &o.IdleTimeout, 110*time.Second)
	duration("WriteTimeout", &o.WriteTimeout, 10*time.Second)
	duration("HandshakeTimeout", &o.HandshakeTimeout, 10*time.Second)
	duration("ReadyTimeout", &o.ReadyTimeout, 15*time.Second)
	duration("CloseTimeout", &o.CloseTimeout, 5*time.Second)
	duration("BackplaneTimeout", &o.BackplaneTimeout, 10*time.Second)
	if o.IdleTimeout-o.PingInterval <= o.PingInterval/10 {
		errs = append(errs, fmt.Errorf("wsmanager: Options.IdleTimeout (%v) must be above PingInterval (%v) and the 10 %% that it varies by: a peer that only answers pings would be cut", o.IdleTimeout, o.PingInterval))
	}
	if o.RequireHTTP2 {
		if err := extconnect.Check(); err != nil {
			errs = append(errs, fmt.Errorf("wsmanager: Options.RequireHTTP2: %w", err))
		}
		if o.Driver == DriverEventLoop {
			errs = append(errs, errors.New("wsmanager: Options.RequireHTTP2: DriverEventLoop can't serve HTTP/2: choose DriverAuto, which serves HTTP/1.1 with the loop"))
		}
	}
	o.AllowedOrigins = slices.Clone(o.AllowedOrigins)
	for i, s := range o.AllowedOrigins {
		origin, err := handshake.ParseOrigin(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("wsmanager: Options.AllowedOrigins: %q %w", s, err))
		}
		o.AllowedOrigins[i] = origin.String()
	}
	if o.BaseContext == nil {
		o.BaseContext = context.Background()
	}
	return o, errors.Join(errs...)
}
