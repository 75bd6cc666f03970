package wsmanager

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
)

// DialOptions configure [Dial], a [Dialer] and a [Client]. The zero value is safe for
// production.
type DialOptions struct {
	// Options are those of a Manager: limits, time-outs, logger, driver. Those that
	// are about accepting have no meaning here and must be zero: AllowedOrigins,
	// SecureOriginsOnly, DangerouslyAllowAnyOrigin, MaxConnections, Block, RequireHTTP2,
	// ReadyTimeout and Backplane.
	//
	// HandshakeTimeout bounds all that comes before the connection is there: names,
	// proxy, TLS and handshake. DriverAuto is DriverGoroutine for [Dial] and [Client],
	// as an event loop for one connection costs more than it saves; a [Dialer] takes
	// an event loop where it can serve, as a Manager does.
	Options

	// Header is added to the handshake's request: Authorization, Cookie, Origin; Host
	// replaces the URL's. What belongs to the handshake (Connection, Upgrade,
	// Sec-WebSocket-*) and to a body can't be set.
	Header http.Header

	// Subprotocols are offered to the server, the best first. Which it chose, if any,
	// [Conn.Subprotocol] tells; a server that chooses another fails the handshake.
	Subprotocols []string

	// TLSConfig is used for wss, and to reach a proxy of scheme https. ServerName is
	// filled in, and NextProtos set to HTTP/1.1, in a copy. Default: the zero value.
	TLSConfig *tls.Config

	// Proxy says which proxy to go through, nil for none. The request has the URL with
	// the scheme http or https, as functions made for net/http expect. The proxy's
	// scheme is http or https; its user and password are sent to it as Basic
	// authentication. Default: http.ProxyFromEnvironment, which knows HTTP_PROXY,
	// HTTPS_PROXY and NO_PROXY and goes to no loopback address through a proxy.
	Proxy func(*http.Request) (*url.URL, error)

	// NetDial connects to the server, or the proxy. Default: a net.Dialer's.
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)

	// OnResponse sees the headers of the server's 101, without those that belong to
	// the handshake, on Dial's goroutine. Its error fails the handshake.
	OnResponse func(http.Header) error

	// OnDial is called before each attempt, for what is not the same for all: a token that
	// expires, a ticket in the query, another server, the state of this connection. It is
	// called on Dial's goroutine (for a Client, on Run's), within HandshakeTimeout; its
	// error fails the attempt.
	OnDial func(ctx context.Context, a *Attempt) error

	// Value is the application's own state of the connection; see [Value].
	Value any
}

// Attempt is what one attempt to connect is made with, for DialOptions.OnDial to change.
// Nobody else has it.
type Attempt struct {
	URL    *url.URL    // as [Dial] wants it
	Header http.Header // DialOptions.Header; not nil
	Value  any         // DialOptions.Value
}

// Dial connects to a WebSocket server as a client. The connection is a Conn like
// those that a Manager accepts, with the same contract: OnConnect, OnMessage and
// OnClose, outbox, policies, pings, time-outs and close handshake. OnConnect is
// called on a goroutine of the connection's own, and may run still when Dial has
// returned; OnAccept has no meaning and must be nil.
//
// The URL's scheme is ws or wss (or http or https, for the same). A user and password
// in it are sent as Basic authentication, unless Header has an Authorization. Its host
// is in ASCII; it has no fragment.
//
// ctx is for the time until Dial returns; what ends the connection later is
// [Conn.Close], or Shutdown of its Manager. The Manager is the connection's own: it
// has no other, and nothing of it is left when the connection has ended. Who makes
// many connections has one set of them with a [Dialer]; who wants one that lasts, a
// [Client].
//
// A server, or proxy, that answers with anything but a 101 makes it a
// [RefusedError]; redirects are not followed. Other errors are those of the network,
// of TLS, of the handshake (ErrHandshake), the cause of ctx, and mistakes in the
// arguments (all at once). No error's text has the URL's user or query in it, unless a
// server that refuses says them in its answer's text.
func Dial(ctx context.Context, rawURL string, cb Callbacks, opts DialOptions) (*Conn, error) {
	return dialWith(ctx, autoDialDriver, rawURL, cb, opts)
}

// dialWith has auto stand for DriverAuto.
func dialWith(ctx context.Context, auto Driver, rawURL string, cb Callbacks, opts DialOptions) (*Conn, error) {
	d, err := newDialer(rawURL, cb, opts, auto)
	if err != nil {
		return nil, err
	}
	return d.Dial(ctx)
}
