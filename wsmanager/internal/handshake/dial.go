package handshake

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

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

	// Proxy returns the proxy for a request, or nil. nil stands for the environment: see
	// proxyFromEnvironment.
	Proxy func(*http.Request) (*url.URL, error)

	// ProxyConnectHeader is added to CONNECT requests. CheckConnectHeader has accepted it.
	ProxyConnectHeader http.Header

	// GetProxyConnectHeader replaces ProxyConnectHeader, if it is not nil. target is host and
	// port of the server.
	GetProxyConnectHeader func(ctx context.Context, proxy *url.URL, target string) (http.Header, error)

	// NetDial connects to the server or to the proxy. nil stands for a net.Dialer.
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)

	// MaxRedirects is how many redirects are followed in one call of Dial.
	MaxRedirects int

	// Offer is the Sec-WebSocket-Extensions of the request, "" for none.
	Offer string

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
// cause. An answer other than a 101 is a *RefusedError, an invalid 101 an ErrAnswer. After a
// redirect each error is in a *RedirectedError.
func Dial(ctx context.Context, t *Target, cfg *ClientConfig) (*Result, error) {
	for hops := newHops(t, cfg.MaxRedirects); ; {
		res, err := cfg.dial(ctx, hops)
		if !errors.Is(err, errFollow) {
			return res, hops.wrap(err)
		}
	}
}

// dial does the handshake with the present server of hops.
func (cfg *ClientConfig) dial(ctx context.Context, hops *hops) (*Result, error) {
	t := hops.target
	conn, err := cfg.connect(ctx, t.url)
	if err != nil {
		return nil, err
	}
	done := false
	defer func() {
		if !done { // OnResponse may have panicked
			_ = conn.Close() // the error to report is another one
		}
	}()
	res := &Result{}
	if t.IsTLS() {
		tc, err := startTLS(ctx, conn, cfg.tlsConfig(t), t.url)
		if err != nil {
			return nil, contextErr(ctx, err)
		}
		conn = tc
		state := tc.ConnectionState()
		res.TLS = &state
	}
	res.Conn = conn
	if err := runWithContext(ctx, conn, func() error { return cfg.exchange(hops, res) }); err != nil {
		return nil, err
	}
	done = true
	return res, nil
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

// tlsConfig returns the configuration for a server. A server to which another has redirected
// gets neither the certificates of the client nor settings for the name of the first.
func (cfg *ClientConfig) tlsConfig(t *Target) *tls.Config {
	if !t.foreign || cfg.TLS == nil {
		return cfg.TLS
	}
	c := cfg.TLS.Clone()
	c.ServerName, c.Certificates, c.GetClientCertificate, c.EncryptedClientHelloConfigList = "", nil, nil, nil
	return c
}

// startTLS does the TLS handshake with the host of u. It does not change cfg, which may be
// nil.
func startTLS(ctx context.Context, conn net.Conn, cfg *tls.Config, u *url.URL) (*tls.Conn, error) {
	cfg = cfg.Clone()
	if cfg == nil {
		cfg = &tls.Config{}
	}
	if cfg.ServerName == "" {
		cfg.ServerName = u.Hostname()
	}
	cfg.NextProtos = []string{"http/1.1"} // the client has no extended CONNECT
	tc := tls.Client(conn, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return tc, nil
}
