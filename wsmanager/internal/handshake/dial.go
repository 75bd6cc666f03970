package handshake

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// ClientConfig is how a client connects, and what it offers and accepts. The zero value
// offers no sub-protocol and no extension.
type ClientConfig struct {
	// Subprotocols are offered in this order.
	Subprotocols []string

	// TLS is for wss and for proxies of scheme https. Dial does not change it. nil stands
	// for the zero value.
	TLS *tls.Config

	// Proxy returns the proxy for a request, or nil. nil stands for
	// http.ProxyFromEnvironment.
	Proxy func(*http.Request) (*url.URL, error)

	// NetDial connects to the server or to the proxy. nil stands for a net.Dialer.
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)

	// Offer adds the extensions that the client offers. nil stands for none. It is a
	// function because the type of an extension belongs to a module that this one does
	// not require itself.
	Offer func(*ws.Dialer)

	// CheckExtensions checks the Sec-WebSocket-Extensions of an answer that has any, and
	// reports whether they are agreed on. It is called only if Offer is set.
	CheckExtensions func(lines []string) (agreed bool, err error)

	// OnResponse is called with the headers of the answer that do not belong to the
	// handshake. Its error fails the handshake. It may be nil.
	OnResponse func(http.Header) error
}

// Result is a connection whose handshake has succeeded.
type Result struct {
	Conn        net.Conn
	Early       []byte               // was received after the answer
	TLS         *tls.ConnectionState // nil without TLS
	Subprotocol string
	Extensions  bool // as CheckExtensions has reported
}

// Dial connects to the server and does the handshake. If ctx ends before, Dial returns its
// cause. An answer other than a 101 is a *RefusedError, an invalid 101 an ErrAnswer.
func Dial(ctx context.Context, t *Target, cfg *ClientConfig) (res *Result, err error) {
	conn, err := cfg.connect(ctx, t.url)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = conn.Close() // the error to report is err
		}
	}()
	res = &Result{}
	if t.IsTLS() {
		tc, err := cfg.startTLS(ctx, conn, t.url)
		if err != nil {
			return nil, contextErr(ctx, err)
		}
		conn = tc
		state := tc.ConnectionState()
		res.TLS = &state
	}
	res.Conn = conn
	err = runWithContext(ctx, conn, func() error { return cfg.exchange(t, res) })
	return res, err
}

// runWithContext runs f, which reads from and writes to conn, and interrupts it if ctx
// ends. It returns the cause of ctx then.
func runWithContext(ctx context.Context, conn net.Conn, f func() error) error {
	interrupted := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { interrupted <- transport.Expire(conn) })
	err := f()
	if stop() {
		return err
	}
	panicked := <-interrupted
	var refused *RefusedError
	switch {
	case errors.As(err, &refused):
		return err // only the body is incomplete
	case panicked != nil:
		return fmt.Errorf("%w: %w", context.Cause(ctx), panicked)
	}
	return context.Cause(ctx)
}

// contextErr returns the cause of ctx if ctx has ended, because err may be only its
// consequence. Otherwise it returns err. A nil error stays nil.
func contextErr(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// startTLS does the TLS handshake with the host of u.
func (cfg *ClientConfig) startTLS(ctx context.Context, conn net.Conn, u *url.URL) (*tls.Conn, error) {
	tlsConfig := cfg.TLS.Clone()
	if tlsConfig == nil {
		tlsConfig = &tls.Config{}
	}
	if tlsConfig.ServerName == "" {
		tlsConfig.ServerName = u.Hostname()
	}
	tlsConfig.NextProtos = []string{"http/1.1"} // the client has no extended CONNECT
	tc := tls.Client(conn, tlsConfig)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return tc, nil
}
