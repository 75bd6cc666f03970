package wsmanager

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/speakingtube/speakingtube/wsmanager/internal/handshake"
)

// Dialer makes any number of connections to one server, as a fleet of devices or a
// load test needs them. They are the connections of one [Manager], which bounds,
// pings, counts and broadcasts to them as a server's does to its own, and serves them
// all with its event loops where it can: an idle one takes as little memory. Make a
// Dialer with [NewDialer], end it with [Dialer.Shutdown]. All methods are safe for
// concurrent use.
type Dialer struct {
	m         *Manager
	opts      DialOptions
	handshake handshake.ClientConfig // made from opts
	url       *url.URL               // as it was given
	target    *handshake.Target      // of attempts that OnDial does not change

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
	if d.url, err = handshake.ParseURL(rawURL); err != nil {
		wrong("the URL %w", err)
	}
	opts.Header = opts.Header.Clone()
	target, mistakes := handshake.NewTarget(d.url, opts.Header)
	d.target = target
	for _, err := range slices.Concat(mistakes, handshake.CheckSubprotocols(opts.Subprotocols)) {
		wrong("%w", err)
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
	if opts.Driver == DriverEventLoop && d.target != nil && d.target.IsTLS() {
		wrong("Options.Driver is %v and the URL's scheme wss: the event loop can't serve TLS", opts.Driver)
	}
	opts.Subprotocols = slices.Clone(opts.Subprotocols)
	opts.TLSConfig = opts.TLSConfig.Clone()
	d.opts = opts
	d.handshake = opts.clientConfig()
	if opts.Driver == DriverAuto {
		opts.Driver = auto
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
	a := &attempt{Dialer: d, target: d.target, value: d.opts.Value}
	c, err := a.connect(ctx)
	if err != nil {
		return nil, newDialError(a.target, err)
	}
	return c, nil
}
