package wsmanager

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/url"

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

	// MaxRedirects is how many redirects (301, 302, 303, 307 and 308) one attempt follows. A
	// redirect is not followed if it leads from wss to ws or from https to http, to a URL that
	// the attempt has used before, to another scheme, or to a URL with a user; then the
	// [RefusedError] names the reason. Another host or port gets, also if it redirects back,
	// only these fields of Header: Accept, Accept-Language, Cache-Control, Origin, Pragma and
	// User-Agent. It does not get the user of the URL, and no certificate of Network.TLS. The
	// one exception is a redirect from port 80 to 443 of the same host with TLS. Subprotocols
	// are sent to each server: with redirects, they must not contain a secret. Default: 0, no
	// redirect is followed.
	MaxRedirects int
}

// Network is the way from a client to its server.
type Network struct {
	// TLS is used for wss, and for a proxy of scheme https. A copy of it gets the ServerName if
	// it has none, and HTTP/1.1 in NextProtos. Default: the zero value.
	TLS *tls.Config

	// Proxy returns the proxy to use, or nil for none. The URL of the request has the scheme
	// http or https, as functions made for net/http expect. The scheme of the proxy must be
	// http or https, for a CONNECT, or socks5, socks5h or socks, which mean the same: the
	// proxy resolves the name of the server. Its user and password are sent to it. Default: the
	// proxies of the environment as for http.ProxyFromEnvironment (HTTP_PROXY, HTTPS_PROXY,
	// NO_PROXY, no proxy for loopback addresses), and ALL_PROXY for a scheme whose own variable
	// is not set.
	Proxy func(*http.Request) (*url.URL, error)

	// ProxyConnectHeader is added to the CONNECT requests to all proxies. Its Proxy-Authorization
	// replaces the user of the proxy's URL. Headers of a body and of the handshake, and Host,
	// are mistakes. Default: none.
	ProxyConnectHeader http.Header

	// GetProxyConnectHeader returns the headers for a CONNECT request to a proxy, for example a
	// token that expires. target is host and port of the server. It is called for each attempt
	// through an HTTP proxy, on the goroutine of Handshake.OnDial, and replaces
	// ProxyConnectHeader. Its error fails the attempt. Default: none.
	GetProxyConnectHeader func(ctx context.Context, proxy *url.URL, target string) (http.Header, error)

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
		Subprotocols:          o.Handshake.Subprotocols,
		MaxRedirects:          o.Handshake.MaxRedirects,
		OnResponse:            o.Handshake.OnResponse,
		TLS:                   o.Network.TLS,
		Proxy:                 o.Network.Proxy,
		ProxyConnectHeader:    o.Network.ProxyConnectHeader,
		GetProxyConnectHeader: o.Network.GetProxyConnectHeader,
		NetDial:               o.Network.Dial,
	}
	if o.Compression.Enabled {
		cfg.Offer = deflate.Offer
		cfg.CheckExtensions = deflate.CheckAnswer
	}
	return cfg
}
