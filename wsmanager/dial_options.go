package wsmanager

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/url"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/deflate"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/handshake"
)

// DialOptions configure [Dial] and a [Dialer]. The zero value is safe for production: a field
// or a field of a group that is zero has its default.
type DialOptions struct {
	// Logger gets one record for each connection that ends, with its id, code, reason and
	// error. Default: slog.Default() at the time of the record.
	Logger *slog.Logger

	// BaseContext is the parent of the Context of each connection and the context of its log
	// records. Cancelling it does not close connections. Default: context.Background().
	BaseContext context.Context

	// Handshake is the request of the handshake.
	Handshake Handshake

	// Network is the way to the server.
	Network Network

	// Value is the application's own state of the connection; see [Value].
	Value any

	// Limits bound the messages, control frames and groups of one connection.
	Limits Limits

	// Timeouts are the intervals and time limits of a connection.
	Timeouts Timeouts

	// Outbox bounds the messages that wait for the server.
	Outbox Outbox

	// SlowConsumer is the policy of a connection whose outbox is full. Default:
	// SlowConsumerClose.
	SlowConsumer SlowConsumer

	// InvalidUTF8 is the policy for text messages and close reasons of the application that
	// are not valid UTF-8. Default: InvalidUTF8Reject.
	InvalidUTF8 InvalidUTF8

	// Compression is permessage-deflate. If it is on, it is offered to the server. Default: off.
	Compression Compression

	// Driver is the method by which connections wait for messages. Default: DriverAuto, which
	// is DriverGoroutine for [Dial], because an event loop for one connection costs more than
	// it saves. For a [Dialer] it is the event loop if that can serve the connection.
	Driver Driver
}

// Handshake is the request of a client's opening handshake.
type Handshake struct {
	// Header is added to the request: Authorization, Cookie or Origin, for example. Host
	// replaces the host of the URL. Headers of the handshake itself (Connection, Upgrade,
	// Sec-WebSocket-*) and of a body are mistakes. Default: none.
	Header http.Header

	// Subprotocols are offered to the server, the preferred one first. The server may choose
	// one: see [Conn.Subprotocol]. A server that chooses another fails the handshake. Default:
	// none.
	Subprotocols []string

	// OnDial is called before each attempt and may change it: to renew a token that expires, to
	// put a ticket into the query, to choose another server or the value of this connection. It
	// is called on the goroutine of Dial (for a [Client], of Run) and counts toward
	// Timeouts.Handshake. Its error fails the attempt. Default: none.
	OnDial func(ctx context.Context, a *Attempt) error

	// OnResponse is called with the headers of the server's 101, except for those of the
	// handshake itself, on the goroutine of OnDial. Its error fails the attempt. Default: none.
	OnResponse func(http.Header) error
}

// Network is the way from a client to its server.
type Network struct {
	// TLS is used for wss, and for a proxy of scheme https. A copy of it gets the ServerName if
	// it has none, and HTTP/1.1 in NextProtos. Default: the zero value.
	TLS *tls.Config

	// Proxy returns the proxy to use, or nil for none. The URL of the request has the scheme
	// http or https, as functions made for net/http expect. The scheme of the proxy must be
	// http or https; its user and password are sent to it as Basic authentication. Default:
	// http.ProxyFromEnvironment, which reads HTTP_PROXY, HTTPS_PROXY and NO_PROXY and uses no
	// proxy for loopback addresses.
	Proxy func(*http.Request) (*url.URL, error)

	// Dial connects to the server or to the proxy. Default: net.Dialer.DialContext.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// settings returns the options with defaults filled in, and adds the mistakes to w.
func (o *DialOptions) settings(w *mistakes) settings {
	common := options{o.Logger, o.BaseContext, o.Driver, o.SlowConsumer, o.Limits, o.Timeouts, o.Outbox, o.Compression, o.InvalidUTF8}
	return common.settings(w, frame.MaskSize)
}

// Attempt is the input of one attempt to connect, a copy that Handshake.OnDial may change.
type Attempt struct {
	URL    *url.URL    // with a scheme as for [Dial]; not nil
	Header http.Header // Handshake.Header; not nil
	Value  any         // the Value of the options
}

// clientConfig is the part of the options that package handshake uses.
func (o *DialOptions) clientConfig() handshake.ClientConfig {
	cfg := handshake.ClientConfig{
		Subprotocols: o.Handshake.Subprotocols,
		TLS:          o.Network.TLS,
		Proxy:        o.Network.Proxy,
		NetDial:      o.Network.Dial,
		OnResponse:   o.Handshake.OnResponse,
	}
	if o.Compression.Enabled {
		cfg.Offer = func(d *ws.Dialer) { d.Extensions = append(d.Extensions, deflate.Offer) }
		cfg.CheckExtensions = deflate.CheckAnswer
	}
	return cfg
}
