package wsmanager

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"time"
)

// Options configure a [Manager]. The zero value is safe for production: a field or a field
// of a group that is zero has its default. [New] reports all mistakes at once.
type Options struct {
	// Logger gets one record for each connection that ends, with its id, user, code, reason and
	// error, and one for each refused handshake. Default: slog.Default() at the time of the
	// record.
	Logger *slog.Logger

	// LogAttrs returns attributes of a request for the records of its connection and of its
	// refusal, for example the id of the request and the address of the client behind a proxy:
	// middleware.LogAttrs does that. Groups with the same name are merged, and an attribute of
	// this package, except peer, counts before one with the same name. It is called on the goroutine
	// of the request, after OnAccept or when the handshake is refused. The attributes of a
	// connection stay in memory until it has ended, about 300 bytes with middleware.LogAttrs,
	// so they should not refer to the request. If it panics, the records have no attributes of
	// it, and os.Stderr gets a line. Default: no further attributes.
	LogAttrs func(r *http.Request) []slog.Attr

	// BaseContext is the parent of the Context of each connection and the context of the log
	// records of connections. Records of refused handshakes have the context of the request.
	// Cancelling it does not close connections; use [Manager.Shutdown]. Default:
	// context.Background().
	BaseContext context.Context

	// Origins are the web pages that may connect. Default: those of the same host.
	Origins Origins

	// MaxConnections limits how many connections exist at a time, including those that are
	// closing. At the limit, a handshake is answered with 503 and OnAccept is not called.
	// Default: 0, no limit.
	MaxConnections int

	// Limits bound the messages, control frames and groups of one connection.
	Limits Limits

	// Timeouts are the intervals and time limits of a connection.
	Timeouts Timeouts

	// ReadyTimeout limits the time between the start of a connection that was accepted with
	// Accept.Deferred and its [Conn.Ready]. After it the connection is closed with 1008
	// (ErrNotReady). Default: 15 s.
	ReadyTimeout time.Duration

	// Outbox bounds the messages that wait for a peer.
	Outbox Outbox

	// SlowConsumer is the policy of a connection whose outbox is full, unless OnAccept chooses
	// another. Default: SlowConsumerClose.
	SlowConsumer SlowConsumer

	// InvalidUTF8 is the policy for text messages and close reasons of the application that
	// are not valid UTF-8. Default: InvalidUTF8Reject.
	InvalidUTF8 InvalidUTF8

	// Compression is permessage-deflate, for clients that offer it. Default: off.
	Compression Compression

	// Driver is the method by which connections wait for messages. Default: DriverAuto.
	Driver Driver

	// Block makes ServeHTTP return only after the connection's socket is closed, as handlers
	// do in ASP.NET Core. Outer middleware then sees a request that lasts as long as the
	// connection: an access log writes its line at the end with the true duration. A time-out
	// that cancels the context of the request has no effect on the connection. The goroutine
	// and the request of net/http stay in memory (about 10 KB). A panic of a callback ends its
	// connection and does not reach outer middleware. Default: ServeHTTP returns after the
	// handshake.
	//
	// Over HTTP/2 ServeHTTP always blocks, because the stream ends when the handler returns.
	Block bool

	// RequireHTTP2 makes New fail unless net/http offers WebSockets over HTTP/2 in this
	// process (RFC 8441), which importing package extendedconnect switches on. It is for
	// programs that depend on HTTP/2. Without it, connections over HTTP/2 are accepted too.
	// Default: false.
	RequireHTTP2 bool

	// Backplane connects the Manager with the Managers of other processes that have the same
	// one. A send to all, to a group, to a user or to an id then reaches the connections of
	// all of them. The ids of connections are longer and contain the node. New does not wait
	// for the backplane; of all other methods only Shutdown and FlushBackplane do. Default: none.
	Backplane Backplane

	// BackplaneQueue bounds the messages that wait for Backplane. It must be zero without a
	// Backplane.
	BackplaneQueue BackplaneQueue
}

// Origins are the web pages that may connect to a server. A browser sends the visitor's
// cookies with the handshake of a page of any origin, and CORS does not cover WebSockets:
// only the check of the origin protects against foreign pages.
//
// A page of the host and port in the request's Host header may connect. If the request came
// over TLS, the page must have come over TLS too. Clients that send no Origin are not
// browsers and may connect. The origin "null", which any page can get, and those of files may
// not.
type Origins struct {
	// Allowed are further origins, each as a browser sends it: "https://app.example.com", with
	// the port unless it is the default of the scheme, and with a host that is not ASCII as
	// "xn--…". Default: none.
	//
	// Apps and extensions have schemes of their own: "capacitor://localhost",
	// "tauri://localhost", "chrome-extension://ID". Such an origin is compared literally, except
	// for the case of its scheme. An app chooses its origin itself: any app with a WebView can
	// have "capacitor://localhost", but each app has its own cookies.
	//
	// "https://*.example.com" stands for the hosts with one label or more before
	// ".example.com", not for example.com itself, and for one scheme and one port. The wildcard
	// must be the whole first label, and the domain after it must not be a public suffix, such
	// as co.uk or github.io, in the list that golang.org/x/net/publicsuffix has. Each of the
	// subdomains may use the visitor's cookies: also one that shows content of users, that
	// someone else operates, or whose DNS record points to an address that was given up. List
	// the origins if they are known.
	Allowed []string

	// AllowOrigin is called for each origin that is neither of this host nor in Allowed, and
	// returns whether it may connect. origin has the scheme, and the host with the port unless
	// that is the default of the scheme. Both are in lower case, except for the host of a scheme
	// other than http and https. Check all of them: "https://example.com.evil.example" begins
	// with "https://example.com", and "https://evilexample.com" ends with "example.com". It is
	// not called for "null", for files, for a header that is not an origin, and for a page of this
	// host that must come over TLS and did not.
	//
	// It is called on the goroutine of the request, before OnAccept and before MaxConnections is
	// checked, for any number of requests at a time. A panic refuses the handshake, and propagates
	// as the panic of any http.Handler does. Default: none of these origins may connect.
	AllowOrigin func(r *http.Request, origin *url.URL) bool

	// SecureOnly refuses pages of the same host that came over plain HTTP, also if TLS ends at
	// a proxy and the request does not show it. Any machine on the way can modify such a page
	// and use the visitor's cookies through it. It does not apply to Allowed. Default: false,
	// because all pages of a server without TLS come over plain HTTP.
	SecureOnly bool

	// DangerouslyAllowAny accepts pages of all origins, also "null" and those of files.
	// AllowOrigin is not called then. It is only for endpoints that grant nothing to a cookie or
	// to the client's place in the network. Default: false.
	DangerouslyAllowAny bool
}

// Limits bound the messages, control frames and groups of one connection.
type Limits struct {
	// MaxMessageSize is the most bytes of a received message. A bigger one closes the
	// connection with 1009, as soon as its frame header or its inflated size exceeds the limit.
	// Together with its frame header (up to 10 bytes; 14 for a client, whose frames are masked)
	// it must not exceed Outbox.Bytes unless Outbox.MaxMessageSize is set, so that each received
	// message can be sent on. With
	// Callbacks.OnPiece it is the most bytes of a piece, and the size of a message has no
	// limit: count its bytes if it should have one. A compressed message is decompressed only as
	// far as its pieces are handled, and holds 56 KB until it is complete. Default: 64 KiB.
	MaxMessageSize int

	// MessageRate is how many messages per second the peer may send on average. A peer that
	// sends more is closed with 1008 (ErrRateLimit). With Callbacks.OnPiece a message counts when
	// it begins, and its pieces do not count. Default: 0, no limit.
	MessageRate float64

	// MessageBurst is how many messages the peer may send at once if MessageRate is set.
	// Default: MessageRate, at least 1.
	MessageBurst int

	// ControlRate is how many pings and unsolicited pongs per second the peer may send. A peer
	// that sends more is closed with 1008 (ErrRateLimit). Default: 20.
	ControlRate int

	// MaxGroups is how many groups the connection may be in. The time to find one of them
	// grows with their number. Default: 1000.
	MaxGroups int
}

// Timeouts are the intervals and time limits of a connection.
type Timeouts struct {
	// Handshake limits the opening handshake. On a server it is the time between the return of
	// OnAccept and the end of the answer, if the connection of the server supports deadlines
	// (that of net/http does); http.Server.ReadHeaderTimeout limits the time of the request. On
	// a client it is the time of the whole attempt: OnDial, name resolution, proxy, TLS and
	// handshake. Default: 10 s.
	Handshake time.Duration

	// PingInterval is the time between two pings. It varies by 10 % per connection. Default:
	// 50 s, below the 60 s after which many proxies close idle connections.
	PingInterval time.Duration

	// Idle limits the time without any received bytes, including pongs. After it the
	// connection is closed with 1001 (ErrIdleTimeout). It must exceed PingInterval by more
	// than 10 %, and should leave time for the pong. Default: 110 s, two unanswered pings.
	Idle time.Duration

	// Write limits the time that a write makes no progress. After it the connection is cut
	// (ErrWriteTimeout). On a plain TCP socket each byte is progress; over TLS and HTTP/2, each
	// 16 KiB. Default: 10 s.
	Write time.Duration

	// Close limits the time between the start of the close handshake and the end of the
	// connection, which is cut after it. Default: 5 s.
	Close time.Duration
}

// Outbox bounds the messages that wait in memory for one peer. A send that exceeds a bound
// meets the [SlowConsumer] policy; [Conn.SendContext] waits instead.
//
// On a plain TCP socket only messages that the kernel does not take wait. Over TLS and
// HTTP/2 each message waits until a goroutine has written it.
type Outbox struct {
	// Messages is how many messages may wait. Over TLS and HTTP/2, 16 times as many may wait
	// until a write has made no progress for one second. Default: 256.
	Messages int

	// Bytes is how many bytes of messages and frame headers may wait. A message that is bigger,
	// which MaxMessageSize may allow, is taken if no other message waits, and then does not
	// count. Default: 1 MiB.
	Bytes int

	// MaxMessageSize is the most bytes of a single message. A bigger one is not sent
	// (ErrMessageTooBig). So the memory of waiting messages is bounded by Bytes and MaxMessageSize
	// together. It must not be below Limits.MaxMessageSize. Default: what fits into Bytes with its frame header (up to 10
	// bytes; 14 for a client).
	MaxMessageSize int
}

// BackplaneQueue bounds the messages that wait to be published. Messages over a bound are
// dropped for the other nodes and counted in Stats.Backplane.
type BackplaneQueue struct {
	// Messages is how many messages may wait. Default: 4096.
	Messages int

	// Bytes is how many bytes of envelopes may wait. It must be at least Outbox.Bytes, and
	// Outbox.MaxMessageSize. Default: 16 MiB.
	Bytes int

	// Timeout limits the time from the send of a message until the backplane has published it.
	// An outage that is shorter loses no queued message. Default: 10 s.
	Timeout time.Duration
}
