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

	"github.com/speakingtube/speakingtube/internal/httpx"
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
	return u, nil
}

// goal is what an attempt is made with, checked.
type goal struct {
	target *url.URL // scheme ws or wss; no user
	header http.Header
	host   string // for the Host header, if another than the URL's
	value  any
}

// newGoal checks what an attempt is to be made with, and returns all mistakes.
func newGoal(a Attempt) (*goal, error) {
	g := &goal{value: a.Value}
	var errs []error
	if u := a.URL; u != nil {
		target := *u
		g.target = &target
		if err := checkTarget(g.target); err != nil {
			errs = append(errs, fmt.Errorf("wsmanager: the URL %w", err))
		}
	}
	var err error
	if g.header, g.host, err = handshakeHeader(a.Header); err != nil {
		errs = append(errs, err)
	}
	if len(errs) > 0 || g.target == nil {
		return nil, errors.Join(errs...)
	}
	if user := g.target.User; user != nil {
		if g.header.Get("Authorization") == "" {
			g.header.Set("Authorization", basicAuth(user))
		}
		g.target.User = nil
	}
	return g, nil
}

// where names the server for people, without what may be secret.
func (g *goal) where() string {
	return g.target.Scheme + "://" + g.target.Host + g.target.EscapedPath()
}

// checkTarget checks a URL, of which it changes the scheme to ws or wss.
func checkTarget(u *url.URL) error {
	switch u.Scheme {
	case "ws", "wss":
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	default:
		return fmt.Errorf("has the scheme %q: it must be ws or wss", u.Scheme)
	}
	switch {
	case u.Hostname() == "":
		return errors.New("names no host")
	case strings.ContainsFunc(u.Host+u.RequestURI(), httpx.IsControl): // it can't come from url.Parse
		return errors.New("has a control character in it")
	case strings.ContainsFunc(u.Host, func(r rune) bool { return r > 0x7f }):
		return errors.New("has a host that is not ASCII: write it in its ASCII form (xn--…)")
	case u.Fragment != "":
		return errors.New("has a fragment, which a WebSocket has not (RFC 6455, section 3)")
	}
	return nil
}
