package wsmanager

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/speakingtube/speakingtube/wsmanager/internal/handshake"
	"github.com/speakingtube/speakingtube/wsmanager/internal/timewheel"
)

// Dialer makes any number of connections to one server, for example for a fleet of devices or
// a load test. They belong to one [Manager], with the limits, pings, counters and broadcasts of
// a server's Manager, and with its event loops if these can serve them. Make a Dialer with
// [NewDialer], and end it with the Shutdown of its Manager: running and later calls of Dial fail
// with ErrShutdown. All methods are safe for concurrent use.
type Dialer struct {
	m         *Manager
	opts      DialOptions
	handshake handshake.ClientConfig // made from opts
	url       *url.URL               // the argument of NewDialer, for OnDial
	target    *handshake.Target      // of attempts that OnDial does not change

	dialing context.Context // ends with the start of the Manager's Shutdown
	stop    context.CancelCauseFunc
}

// autoDialDriver is the meaning of DriverAuto for a single connection.
const autoDialDriver = DriverGoroutine

// NewDialer makes a Dialer. Its arguments are those of [Dial]; the error contains every
// mistake in them. A Dialer connects only in [Dialer.Dial], and has neither goroutines
// nor descriptors while it has no connections.
func NewDialer(rawURL string, cb Callbacks, opts DialOptions) (*Dialer, error) {
	return newDialer(rawURL, cb, opts, &mistakes{options: "DialOptions"}, DriverAuto)
}

// newDialer is NewDialer with mistakes that the caller has found, and with another meaning of
// DriverAuto.
func newDialer(rawURL string, cb Callbacks, opts DialOptions, w *mistakes, auto Driver) (*Dialer, error) {
	d := &Dialer{}
	d.setTarget(rawURL, &opts, w)
	if cb.OnAccept != nil {
		w.errs = append(w.errs, errors.New("wsmanager: Callbacks.OnAccept: it is set, but a client accepts nothing; remove it"))
	}
	s := opts.settings(w)
	if s.Driver == DriverEventLoop && d.target != nil && d.target.IsTLS() {
		w.add("Driver", "the event loop can't serve TLS, which the URL requires; use DriverAuto")
	}
	if err := w.err(); err != nil {
		return nil, err
	}
	opts.Handshake.Subprotocols = slices.Clone(opts.Handshake.Subprotocols)
	opts.Network.TLS = opts.Network.TLS.Clone()
	d.opts = opts
	d.handshake = opts.clientConfig()
	if s.Driver == DriverAuto {
		s.Driver = auto
	}
	var err error
	if d.m, err = startManager(cb, s, timewheel.SystemClock{}); err != nil {
		return nil, err
	}
	d.m.maskFrames()
	d.dialing, d.stop = context.WithCancelCause(context.Background())
	d.m.onShutdown = func() { d.stop(ErrShutdown) }
	return d, nil
}

// setTarget checks the URL and the request. It copies the headers.
func (d *Dialer) setTarget(rawURL string, opts *DialOptions, w *mistakes) {
	var err error
	if d.url, err = handshake.ParseURL(rawURL); err != nil {
		w.errs = append(w.errs, fmt.Errorf("wsmanager: the URL %w", err))
	}
	h := &opts.Handshake
	h.Header = h.Header.Clone()
	target, headerErrs, err := handshake.NewTarget(d.url, h.Header)
	d.target = target
	if err != nil {
		w.errs = append(w.errs, fmt.Errorf("wsmanager: %w", err))
	}
	for _, err := range headerErrs {
		w.add("Handshake.Header", "%w", err)
	}
	for _, err := range handshake.CheckSubprotocols(h.Subprotocols) {
		w.add("Handshake.Subprotocols", "%w", err)
	}
}

// Manager returns the Manager of the Dialer's connections. It does everything that a server's
// Manager does except accepting connections. In its Stats, Accepted counts successful
// handshakes. Failed attempts are not counted: Dial returns their errors.
func (d *Dialer) Manager() *Manager { return d.m }

// Dial makes one more connection, in the same way and with the same errors as the function
// [Dial]. After the start of the Manager's Shutdown it fails with ErrShutdown.
func (d *Dialer) Dial(ctx context.Context) (*Conn, error) {
	a := &attempt{Dialer: d, target: d.target, value: d.opts.Value}
	c, err := a.connect(ctx)
	if err != nil {
		return nil, newDialError(a.target, err)
	}
	return c, nil
}
