package wsmanager

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/timewheel"
	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// Dialer makes any number of connections to one server, as a fleet of devices or a
// load test needs them. They are the connections of one [Manager], which bounds,
// pings, counts and broadcasts to them as a server's does to its own, and serves them
// all with its event loops where it can: an idle one takes as little memory. Make a
// Dialer with [NewDialer], end it with [Dialer.Shutdown]. All methods are safe for
// concurrent use.
type Dialer struct {
	m     *Manager
	opts  DialOptions
	url   *url.URL // as it was given
	first *goal    // of attempts that are all alike

	dialing context.Context         // ends when the Manager is shut down
	stop    context.CancelCauseFunc // ends it
}

// autoDialDriver is what DriverAuto means where there is one connection.
const autoDialDriver = DriverGoroutine

// NewDialer checks everything once, and reports every mistake in the arguments. They
// are those of [Dial]. Nothing is connected to before [Dialer.Dial], and the Dialer
// costs nothing while it has no connections.
func NewDialer(rawURL string, cb Callbacks, opts DialOptions) (*Dialer, error) {
	return newDialer(rawURL, cb, opts, DriverAuto)
}

// newDialer has auto stand for DriverAuto.
func newDialer(rawURL string, cb Callbacks, opts DialOptions, auto Driver) (*Dialer, error) {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf("wsmanager: "+format, args...)) }
	d := &Dialer{}
	var err error
	if d.url, err = parseTarget(rawURL); err != nil {
		wrong("the URL %w", err)
	}
	opts.Header = opts.Header.Clone()
	if d.first, err = newGoal(Attempt{URL: d.url, Header: opts.Header, Value: opts.Value}); err != nil {
		errs = append(errs, err)
	}
	if cb.OnAccept != nil {
		wrong("Callbacks.OnAccept is set: a client accepts nothing")
	}
	for _, o := range []struct {
		name string
		set  bool
	}{
		{"AllowedOrigins", len(opts.AllowedOrigins) > 0},
		{"SecureOriginsOnly", opts.SecureOriginsOnly},
		{"DangerouslyAllowAnyOrigin", opts.DangerouslyAllowAnyOrigin},
		{"MaxConnections", opts.MaxConnections != 0},
		{"Block", opts.Block},
		{"RequireHTTP2", opts.RequireHTTP2},
		{"ReadyTimeout", opts.ReadyTimeout != 0},
		{"Backplane", opts.Backplane != nil},
	} {
		if o.set {
			wrong("Options.%s is set: it has no meaning for a client", o.name)
		}
	}
	opts.Backplane = nil // said above; a Manager would begin to use it
	if err := checkSubprotocols(opts.Subprotocols); err != nil {
		errs = append(errs, err)
	}
	if opts.Driver == DriverEventLoop && d.first != nil && d.first.target.Scheme == "wss" {
		wrong("Options.Driver is %v and the URL's scheme wss: the event loop can't serve TLS", opts.Driver)
	}
	opts.Subprotocols = slices.Clone(opts.Subprotocols)
	opts.TLSConfig = opts.TLSConfig.Clone()
	d.opts = opts
	if opts.Driver == DriverAuto {
		opts.Driver = auto
	}
	d.m, err = newManager(cb, opts.Options, timewheel.SystemClock{})
	if err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if frame.Size(d.m.opts.MaxMessageSize)+frame.MaskSize > d.m.opts.OutboxBytes {
		return nil, fmt.Errorf("wsmanager: Options.MaxMessageSize (%d) and its masked frame header don't fit OutboxBytes (%d): a message of that size could never be sent on; raise OutboxBytes", d.m.opts.MaxMessageSize, d.m.opts.OutboxBytes)
	}
	d.m.keys = frame.NewMaskKeys()
	d.dialing, d.stop = context.WithCancelCause(context.Background())
	d.m.onShutdown = func() { d.stop(ErrShutdown) }
	return d, nil
}

// Manager returns the Manager of the Dialer's connections, for broadcasts, groups and
// all that a Manager can do but accept.
func (d *Dialer) Manager() *Manager { return d.m }

// Stats returns the counters of the connections that were made. Accepted counts the
// handshakes that succeeded; attempts that failed are in no counter, as Dial has
// returned their errors.
func (d *Dialer) Stats() Stats { return d.m.Stats() }

// Shutdown ends the Dialer: attempts under way and to come fail with ErrShutdown, and
// its connections end as [Manager.Shutdown] says.
func (d *Dialer) Shutdown(ctx context.Context) error { return d.m.Shutdown(ctx) }

// Dial makes one more connection. For what it does, and for its errors, see the
// function [Dial]; after Shutdown it fails with ErrShutdown.
func (d *Dialer) Dial(ctx context.Context) (*Conn, error) {
	a := &attempt{d, d.first}
	c, err := a.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("wsmanager: dialling %s: %w", a.where(), err)
	}
	return c, nil
}

// attempt is one attempt to connect.
type attempt struct {
	*Dialer
	*goal
}

// prepare asks OnDial.
func (d *attempt) prepare(ctx context.Context) error {
	if d.opts.OnDial == nil {
		return nil
	}
	u := *d.url
	a := Attempt{URL: &u, Header: d.opts.Header.Clone(), Value: d.opts.Value}
	if a.Header == nil {
		a.Header = make(http.Header)
	}
	if err := d.opts.OnDial(ctx, &a); err != nil {
		return ended(ctx, fmt.Errorf("OnDial: %w", err))
	}
	if a.URL == nil {
		return errors.New("OnDial: Attempt.URL is nil")
	}
	g, err := newGoal(a)
	if err != nil {
		return fmt.Errorf("OnDial: %w", err)
	}
	d.goal = g
	return nil
}

func (d *attempt) connect(ctx context.Context) (*Conn, error) {
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
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(d.dialing, func() { cancel(context.Cause(d.dialing)) })()
	ctx, expire := context.WithTimeoutCause(ctx, m.opts.HandshakeTimeout, errHandshakeTimeout)
	defer expire()
	if err := d.prepare(ctx); err != nil {
		return nil, err
	}
	s, err := d.handshake(ctx)
	if err != nil {
		return nil, err
	}
	remote := ""
	if addr := s.conn.RemoteAddr(); addr != nil { // NetDial's may know none
		remote = addr.String()
	}
	c := m.newConn(newID(), Accept{Value: d.value, Subprotocol: s.subprotocol}, s.tls, remote)
	if s.deflate {
		c.agreeDeflate()
	}
	c.register(Accept{})
	t, driver, err := d.attachable(c, s.conn)
	if err != nil {
		_ = s.conn.Close() // nobody else has it
		c.abandon()
		return nil, err
	}
	c.attach(t)
	m.stats.accepted.Add(1)
	if s.deflate {
		m.stats.agreed.Add(1)
	}
	handedOver = true
	driver.start(c, s.early)
	return c, nil
}

// attachable makes the transport of a registered connection.
func (d *attempt) attachable(c *Conn, conn net.Conn) (transport.Transport, driver, error) {
	if d.m.isDraining() { // Shutdown may have looked through the registry already
		return nil, nil, ErrShutdown
	}
	return d.m.drive(c, conn)
}
