package wsmanager

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"

	"github.com/speakingtube/speakingtube/wsmanager/internal/connid"
	"github.com/speakingtube/speakingtube/wsmanager/internal/handshake"
	"github.com/speakingtube/speakingtube/wsmanager/internal/timewheel"
	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// Dial connects to a WebSocket server as a client. The connection is a Conn with the same
// contract as those that a Manager accepts: OnConnect, OnMessage and OnClose, outbox, policies,
// pings, time-outs and close handshake. OnConnect is called on a goroutine of the connection,
// and may still run when Dial has returned. OnAccept must be nil.
//
// The scheme of the URL is ws or wss; http and https mean the same. A user and password in it
// are sent as Basic authentication, unless Handshake.Header has an Authorization. Its host must
// be ASCII, and it must not have a fragment.
//
// ctx applies until Dial returns. After that, [Conn.Close] or Shutdown of the connection's
// Manager ends the connection. The Manager has only this connection and ends with it. Use a
// [Dialer] for many connections and a [Client] for one that reconnects.
//
// If the server or a proxy answers with another status than 101, the error is a
// [RefusedError]. Redirects are followed only if Handshake.MaxRedirects allows them. Other errors
// are those of the network, of TLS and of the handshake (ErrHandshake), the cause of ctx, and all
// mistakes in the arguments at once.
// The text of an error does not contain the user or the query of the URL, unless the text of a
// refusing server contains them.
func Dial(ctx context.Context, rawURL string, cb Callbacks, opts DialOptions) (*Conn, error) {
	return dialWith(ctx, autoDialDriver, rawURL, cb, opts)
}

// dialWith is Dial with another meaning of DriverAuto.
func dialWith(ctx context.Context, auto Driver, rawURL string, cb Callbacks, opts DialOptions) (*Conn, error) {
	d, err := newDialer(rawURL, cb, opts, &mistakes{options: "DialOptions"}, auto)
	if err != nil {
		return nil, err
	}
	return d.Dial(ctx)
}

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

// NewDialer makes a Dialer. Its arguments are those of [Dial]; the error contains all mistakes
// in them. A Dialer connects only in [Dialer.Dial]. Without connections it has no goroutines and
// no descriptors.
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
	if err := cb.check(); err != nil {
		w.errs = append(w.errs, err)
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

// setTarget checks the URL and the requests. It copies the headers.
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
	if h.MaxRedirects < 0 {
		w.add("Handshake.MaxRedirects", "%d is negative; set a positive number, or 0 to follow no redirect", h.MaxRedirects)
	}
	n := &opts.Network
	n.ProxyConnectHeader = n.ProxyConnectHeader.Clone()
	for _, err := range handshake.CheckConnectHeader(n.ProxyConnectHeader) {
		w.add("Network.ProxyConnectHeader", "%w", err)
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

// attempt is one attempt to connect.
type attempt struct {
	*Dialer
	target *handshake.Target
	value  any // Attempt.Value
}

var errHandshakeTimeout = fmt.Errorf("no handshake within Timeouts.Handshake: %w", os.ErrDeadlineExceeded)

// connect does the whole attempt, from admission to the start of the driver.
func (a *attempt) connect(ctx context.Context) (*Conn, error) {
	m := a.m
	if err := acquireSlot(m); err != nil {
		return nil, err
	}
	handedOver := false
	defer func() {
		if !handedOver {
			m.admission.Release()
		}
	}()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(a.dialing, func() { cancel(context.Cause(a.dialing)) })()
	ctx, expire := context.WithTimeoutCause(ctx, m.opts.HandshakeTimeout, errHandshakeTimeout)
	defer expire()
	if err := a.prepare(ctx); err != nil {
		return nil, err
	}
	res, err := handshake.Dial(ctx, a.target, &a.handshake)
	if err != nil {
		return nil, err
	}
	c, d, err := a.dialConn(res)
	if err != nil {
		_ = res.Conn.Close() // err is the error to report
		return nil, err
	}
	handedOver = true
	d.start(c, res.Early)
	return c, nil
}

// prepare calls OnDial, which may change the target and the value of the attempt.
func (a *attempt) prepare(ctx context.Context) error {
	if a.opts.Handshake.OnDial == nil {
		return nil
	}
	u := *a.url
	change := Attempt{URL: &u, Header: a.opts.Handshake.Header.Clone(), Value: a.opts.Value}
	if change.Header == nil {
		change.Header = make(http.Header)
	}
	if err := a.opts.Handshake.OnDial(ctx, &change); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return inContext("OnDial", err)
	}
	if change.URL == nil {
		return errors.New("wsmanager: OnDial: Attempt.URL is nil")
	}
	target, headerErrs, err := handshake.NewTarget(change.URL, change.Header)
	if err := errors.Join(append(headerErrs, err)...); err != nil {
		return inContext("OnDial", err)
	}
	a.target, a.value = target, change.Value
	return nil
}

// dialConn makes a registered connection with a transport after a successful handshake.
func (a *attempt) dialConn(res *handshake.Result) (*Conn, driver, error) {
	remote := ""
	if addr := res.Conn.RemoteAddr(); addr != nil { // a net.Conn of Network.Dial may have none
		remote = addr.String()
	}
	c := a.m.newConn(connid.New(), Accept{Value: a.value, Subprotocol: res.Subprotocol}, res.TLS, remote)
	if res.Extensions {
		c.agreeDeflate()
	}
	d, err := c.establish(Accept{}, func() (transport.Transport, driver, error) { return a.m.drive(c, res.Conn) })
	return c, d, err
}
