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

// DialOptions configure [Dial]. The zero value is safe for production.
type DialOptions struct {
	// Options are those of a Manager: limits, time-outs, logger, driver. Those that
	// are about accepting have no meaning here and must be zero: AllowedOrigins,
	// DangerouslyAllowAnyOrigin, MaxConnections, Block, RequireHTTP2 and ReadyTimeout.
	//
	// HandshakeTimeout bounds all that comes before the connection is there: names,
	// proxy, TLS and handshake. DriverAuto is DriverGoroutine here, as an event loop
	// for one connection costs more than it saves.
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
// has no other, and nothing of it is left when the connection has ended.
//
// A server, or proxy, that answers with anything but a 101 makes it a
// [RefusedError]; redirects are not followed. Other errors are those of the network,
// of TLS, of the handshake (ErrHandshake), the cause of ctx, and mistakes in the
// arguments (all at once). No error's text has the URL's user or query in it.
func Dial(ctx context.Context, rawURL string, cb Callbacks, opts DialOptions) (*Conn, error) {
	d, err := newDialer(rawURL, cb, opts)
	if err != nil {
		return nil, err
	}
	return d.dial(ctx)
}

// dialer is all that makes a connection, any number of times.
type dialer struct {
	m      *Manager
	opts   DialOptions
	target *url.URL // scheme ws or wss; no user
	header http.Header
	host   string // for the Host header, if another than the URL's
}

// autoDialDriver is what DriverAuto means for a client.
var autoDialDriver = DriverGoroutine

// newDialer checks everything.
func newDialer(rawURL string, cb Callbacks, opts DialOptions) (*dialer, error) {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf("wsmanager: "+format, args...)) }
	d := &dialer{opts: opts}
	var err error
	if d.target, err = parseTarget(rawURL); err != nil {
		wrong("the URL %w", err)
	}
	if cb.OnAccept != nil {
		wrong("Callbacks.OnAccept is set: a client accepts nothing")
	}
	for _, o := range []struct {
		name string
		set  bool
	}{
		{"AllowedOrigins", len(opts.AllowedOrigins) > 0},
		{"DangerouslyAllowAnyOrigin", opts.DangerouslyAllowAnyOrigin},
		{"MaxConnections", opts.MaxConnections != 0},
		{"Block", opts.Block},
		{"RequireHTTP2", opts.RequireHTTP2},
		{"ReadyTimeout", opts.ReadyTimeout != 0},
	} {
		if o.set {
			wrong("Options.%s is set: it has no meaning for a client", o.name)
		}
	}
	if d.header, d.host, err = handshakeHeader(opts.Header); err != nil {
		errs = append(errs, err)
	}
	if err := checkSubprotocols(opts.Subprotocols); err != nil {
		errs = append(errs, err)
	}
	if opts.Driver == DriverAuto {
		opts.Driver = autoDialDriver
	}
	d.m, err = newManager(cb, opts.Options, systemClock{})
	if err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if frameSize(d.m.opts.MaxMessageSize)+maskSize > d.m.opts.OutboxBytes {
		return nil, fmt.Errorf("wsmanager: Options.MaxMessageSize (%d) and its masked frame header don't fit OutboxBytes (%d): a message of that size could never be sent on; raise OutboxBytes", d.m.opts.MaxMessageSize, d.m.opts.OutboxBytes)
	}
	d.m.keys = newMaskKeys()
	if user := d.target.User; user != nil {
		if d.header.Get("Authorization") == "" {
			d.header.Set("Authorization", basicAuth(user))
		}
		d.target.User = nil
	}
	return d, nil
}

// parseTarget reads the URL of a server. An error's text has nothing secret in it.
func parseTarget(rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the URL
		}
		return nil, fmt.Errorf("can't be parsed: %w", err)
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

// where names the server for people, without what may be secret.
func (d *dialer) where() string {
	return d.target.Scheme + "://" + d.target.Host + d.target.EscapedPath()
}

// dial makes one connection.
func (d *dialer) dial(ctx context.Context) (*Conn, error) {
	c, err := d.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("wsmanager: dialling %s: %w", d.where(), err)
	}
	return c, nil
}

func (d *dialer) connect(ctx context.Context) (*Conn, error) {
	m := d.m
	if err := m.admit(); err != nil {
		return nil, ErrShutdown
	}
	handedOver := false
	defer func() {
		if !handedOver {
			m.dismiss()
		}
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, m.opts.HandshakeTimeout, errHandshakeTimeout)
	defer cancel()
	s, err := d.handshake(ctx)
	if err != nil {
		return nil, err
	}
	c := m.newConn(newID(), Accept{Value: d.opts.Value, Subprotocol: s.subprotocol}, s.tls, s.conn.RemoteAddr().String())
	c.register(Accept{})
	t, driver, err := d.attachable(c, s.conn)
	if err != nil {
		_ = s.conn.Close() // nobody else has it
		c.abandon()
		return nil, err
	}
	c.attach(t)
	m.stats.accepted.Add(1)
	handedOver = true
	driver.start(c, s.early)
	return c, nil
}

// attachable makes the transport of a registered connection.
func (d *dialer) attachable(c *Conn, conn net.Conn) (transport, driver, error) {
	if d.m.isDraining() { // Shutdown may have looked through the registry already
		return nil, nil, ErrShutdown
	}
	return d.m.drive(c, conn)
}
