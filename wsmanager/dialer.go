package wsmanager

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/handshake"
	"github.com/speakingtube/speakingtube/wsmanager/internal/timewheel"
)

// Dialer makes any number of connections to one server, for example for a fleet of
// devices or a load test. They belong to one [Manager], with the limits, pings, counters
// and broadcasts of a server's Manager, and with its event loops where these can serve
// them. Make a Dialer with [NewDialer], end it with [Dialer.Shutdown]. All methods are
// safe for concurrent use.
type Dialer struct {
	m         *Manager
	opts      DialOptions
	handshake handshake.ClientConfig // made from opts
	url       *url.URL               // the argument of NewDialer, for OnDial
	target    *handshake.Target      // of attempts that OnDial does not change

	dialing context.Context         // ends with the beginning of Shutdown
	stop    context.CancelCauseFunc // of dialing
}

// autoDialDriver is the meaning of DriverAuto for a single connection.
const autoDialDriver = DriverGoroutine

// NewDialer makes a Dialer. Its arguments are those of [Dial]; the error contains every
// mistake in them. A Dialer connects only in [Dialer.Dial], and has neither goroutines
// nor descriptors while it has no connections.
func NewDialer(rawURL string, cb Callbacks, opts DialOptions) (*Dialer, error) {
	return newDialer(rawURL, cb, opts, DriverAuto)
}

// newDialer is NewDialer with another meaning of DriverAuto.
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
	opts.Backplane = nil // reported above; newManager would open it
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
	d.m.maskFrames()
	d.dialing, d.stop = context.WithCancelCause(context.Background())
	d.m.onShutdown = func() { d.stop(ErrShutdown) }
	return d, nil
}

// Manager returns the Manager of the Dialer's connections, for broadcasts, groups and
// everything else except accepting connections.
func (d *Dialer) Manager() *Manager { return d.m }

// Stats returns the counters of the Dialer's Manager. Accepted counts the handshakes
// that have succeeded. Failed attempts are not counted: Dial returns their errors.
func (d *Dialer) Stats() Stats { return d.m.Stats() }

// Shutdown ends the Dialer: running and later attempts fail with ErrShutdown, and its
// connections end as described at [Manager.Shutdown].
func (d *Dialer) Shutdown(ctx context.Context) error { return d.m.Shutdown(ctx) }

// Dial makes one more connection, in the same way and with the same errors as the
// function [Dial]. After Shutdown it fails with ErrShutdown.
func (d *Dialer) Dial(ctx context.Context) (*Conn, error) {
	a := &attempt{Dialer: d, target: d.target, value: d.opts.Value}
	c, err := a.connect(ctx)
	if err != nil {
		return nil, newDialError(a.target, err)
	}
	return c, nil
}
