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
	// Options are those of a Manager: limits, time-outs, logger, driver. The fields for
	// accepting have no meaning here and must be zero: AllowedOrigins, SecureOriginsOnly,
	// DangerouslyAllowAnyOrigin, MaxConnections, Block, RequireHTTP2, ReadyTimeout and
	// Backplane.
	//
	// HandshakeTimeout limits the whole attempt: name resolution, proxy, TLS and
	// handshake. For [Dial] and [Client] DriverAuto is DriverGoroutine, because an event
	// loop for one connection costs more than it saves. For a [Dialer] it is the event
	// loop if that can serve the connection, as for a Manager.
	Options

	// Header is added to the request of the handshake: Authorization, Cookie or Origin,
	// for example. Host replaces the host of the URL. Headers of the handshake itself
	// (Connection, Upgrade, Sec-WebSocket-*) and of a body are refused.
	Header http.Header

	// Subprotocols are offered to the server, the preferred one first. The server may
	// choose one: see [Conn.Subprotocol]. A server that chooses another fails the
	// handshake.
	Subprotocols []string

	// TLSConfig is used for wss, and for a proxy of scheme https. A copy of it gets the
	// ServerName, if it has none, and HTTP/1.1 in NextProtos. Default: the zero value.
	TLSConfig *tls.Config

	// Proxy returns the proxy to use, or nil for none. The URL of the request has the
	// scheme http or https, as functions made for net/http expect. The scheme of the
	// proxy must be http or https; its user and password are sent to it as Basic
	// authentication. Default: http.ProxyFromEnvironment, which reads HTTP_PROXY,
	// HTTPS_PROXY and NO_PROXY and uses no proxy for loopback addresses.
	Proxy func(*http.Request) (*url.URL, error)

	// NetDial connects to the server or to the proxy. Default: net.Dialer.DialContext.
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)

	// OnResponse is called with the headers of the server's 101, except for those of the
	// handshake itself, on Dial's goroutine. Its error fails the handshake.
	OnResponse func(http.Header) error

	// OnDial is called before each attempt and may change it: to renew a token that
	// expires, to put a ticket into the query, to choose another server or the value of
	// this connection. It is called on Dial's goroutine (for a Client, on Run's), and
	// HandshakeTimeout includes it. Its error fails the attempt.
	OnDial func(ctx context.Context, a *Attempt) error

	// Value is the application's own state of the connection; see [Value].
	Value any
}

// Attempt is the input of one attempt to connect, for DialOptions.OnDial to change. It is
// a copy of its own.
type Attempt struct {
	URL    *url.URL    // as [Dial] wants it
	Header http.Header // DialOptions.Header; not nil
	Value  any         // DialOptions.Value
}

// Dial connects to a WebSocket server as a client. The connection is a Conn like
// those that a Manager accepts, with the same contract: OnConnect, OnMessage and
// OnClose, outbox, policies, pings, time-outs and close handshake. OnConnect is
// called on a goroutine of the connection's own, and may still run when Dial has
// returned. OnAccept has no meaning and must be nil.
//
// The scheme of the URL is ws or wss; http and https mean the same. A user and password
// in it are sent as Basic authentication, unless Header has an Authorization. Its host
// must be ASCII, and it must not have a fragment.
//
// ctx applies only until Dial returns. Later [Conn.Close], or Shutdown of the Manager,
// ends the connection. The connection has a Manager of its own, which ends with it. For
// many connections use a [Dialer], for one that reconnects a [Client].
//
// If the server or a proxy answers with another status than 101, the error is a
// [RefusedError]; redirects are not followed. Other errors are those of the network, of
// TLS, of the handshake (ErrHandshake), the cause of ctx, and mistakes in the arguments,
// all at once. The text of an error does not contain the user or the query of the URL,
// unless the text of a refusing server contains them.
func Dial(ctx context.Context, rawURL string, cb Callbacks, opts DialOptions) (*Conn, error) {
	return dialWith(ctx, autoDialDriver, rawURL, cb, opts)
}

// dialWith is Dial with another meaning of DriverAuto.
func dialWith(ctx context.Context, auto Driver, rawURL string, cb Callbacks, opts DialOptions) (*Conn, error) {
	d, err := newDialer(rawURL, cb, opts, auto)
	if err != nil {
		return nil, err
	}
	return d.Dial(ctx)
}
