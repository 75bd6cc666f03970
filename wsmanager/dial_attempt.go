package wsmanager

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/connid"
	"github.com/speakingtube/speakingtube/wsmanager/internal/deflate"
	"github.com/speakingtube/speakingtube/wsmanager/internal/handshake"
	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// attempt is one attempt to connect.
type attempt struct {
	*Dialer
	target *handshake.Target
	value  any // Attempt.Value
}

var errHandshakeTimeout = fmt.Errorf("no handshake within Options.HandshakeTimeout: %w", os.ErrDeadlineExceeded)

// clientConfig is the part of the options that package handshake uses.
func (o *DialOptions) clientConfig() handshake.ClientConfig {
	cfg := handshake.ClientConfig{
		Subprotocols: o.Subprotocols,
		TLS:          o.TLSConfig,
		Proxy:        o.Proxy,
		NetDial:      o.NetDial,
		OnResponse:   o.OnResponse,
	}
	if o.Compression.Enabled {
		cfg.Offer = func(d *ws.Dialer) { d.Extensions = append(d.Extensions, deflate.Offer) }
		cfg.CheckExtensions = deflate.CheckAnswer
	}
	return cfg
}

// connect does the whole attempt, from admission to the start of the driver.
func (a *attempt) connect(ctx context.Context) (*Conn, error) {
	m := a.m
	if err := m.admission.acquireSlot(); err != nil {
		return nil, err
	}
	handedOver := false
	defer func() {
		if !handedOver {
			m.admission.releaseSlot()
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
		_ = res.Conn.Close() // the error to report is err
		return nil, err
	}
	handedOver = true
	d.start(c, res.Early)
	return c, nil
}

// prepare calls OnDial, which may change what the attempt is made with.
func (a *attempt) prepare(ctx context.Context) error {
	if a.opts.OnDial == nil {
		return nil
	}
	u := *a.url
	change := Attempt{URL: &u, Header: a.opts.Header.Clone(), Value: a.opts.Value}
	if change.Header == nil {
		change.Header = make(http.Header)
	}
	if err := a.opts.OnDial(ctx, &change); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("OnDial: %w", err)
	}
	if change.URL == nil {
		return errors.New("OnDial: Attempt.URL is nil")
	}
	target, mistakes := handshake.NewTarget(change.URL, change.Header)
	if len(mistakes) > 0 {
		return fmt.Errorf("OnDial: %w", errors.Join(mistakes...))
	}
	a.target, a.value = target, change.Value
	return nil
}

// dialConn makes a registered connection with a transport of a handshake that has
// succeeded.
func (a *attempt) dialConn(res *handshake.Result) (*Conn, driver, error) {
	remote := ""
	if addr := res.Conn.RemoteAddr(); addr != nil { // a net.Conn of NetDial may have none
		remote = addr.String()
	}
	c := a.m.newConn(connid.New(), Accept{Value: a.value, Subprotocol: res.Subprotocol}, res.TLS, remote)
	if res.Extensions {
		c.agreeDeflate()
	}
	d, err := c.establish(Accept{}, func() (transport.Transport, driver, error) { return a.m.drive(c, res.Conn) })
	return c, d, err
}
