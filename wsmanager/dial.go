package wsmanager

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// DialOptions configure [Dial], a [Dialer] and a [Client]. The zero value is safe for
// production.
type DialOptions struct {
	// Options are those of a Manager: limits, time-outs, logger, driver. Those that
	// are about accepting have no meaning here and must be zero: AllowedOrigins,
	// DangerouslyAllowAnyOrigin, MaxConnections, Block and ReadyTimeout.
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

	// Value is the application's own state of the connection; see [Value].
	Value any
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
	d, err := newDialer(rawURL, cb, opts, autoDialDriver)
	if err != nil {
		return nil, err
	}
	return d.Dial(ctx)
}

// parseTarget reads the URL of a server. An error's text has nothing secret in it.
func parseTarget(rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// Its text quotes the URL, and the part that is wrong, which may be one of a
		// password: what is left says enough.
		var ue *url.Error
		if !errors.As(err, &ue) {
			return nil, errors.New("can't be parsed")
		}
		text := ue.Err.Error()
		if from, to := strings.IndexByte(text, '"'), strings.LastIndexByte(text, '"'); from < to {
			text = text[:from] + "…" + text[to+1:]
		}
		return nil, fmt.Errorf("can't be parsed: %s", text)
	}
	switch u.Scheme {
	case "ws", "wss":
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	default:
		return nil, fmt.Errorf("has the scheme %q: it must be ws or wss", u.Scheme)
	}
	switch {
	case u.Hostname() == "":
		return nil, errors.New("names no host")
	case strings.ContainsFunc(u.Host, func(r rune) bool { return r > 0x7f }):
		return nil, errors.New("has a host that is not ASCII: write it in its ASCII form (xn--…)")
	case u.Fragment != "":
		return nil, errors.New("has a fragment, which a WebSocket has not (RFC 6455, section 3)")
	}
	return u, nil
}
