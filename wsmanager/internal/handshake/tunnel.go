package handshake

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"golang.org/x/net/proxy"
)

// CheckConnectHeader returns all mistakes in headers for a CONNECT request.
func CheckConnectHeader(h http.Header) (errs []error) {
	_, host, errs := requestHeader(h)
	if host != "" {
		errs = append(errs, errors.New(`the header "Host" is the address of the server, to which a proxy connects`))
	}
	return errs
}

// connectHeader returns the headers of a CONNECT request. A Proxy-Authorization of the
// application takes precedence over the user in the URL of the proxy.
func (cfg *ClientConfig) connectHeader(ctx context.Context, proxy *url.URL, addr string) (http.Header, error) {
	h := cfg.ProxyConnectHeader
	if cfg.GetProxyConnectHeader != nil {
		u := *proxy
		var err error
		if h, err = cfg.GetProxyConnectHeader(ctx, &u, addr); err == nil {
			err = errors.Join(CheckConnectHeader(h)...)
		}
		if err != nil {
			return nil, fmt.Errorf("the headers for CONNECT: %w", err)
		}
	}
	h, _, _ = requestHeader(h) // a copy with canonical names; checked before
	if proxy.User != nil && h.Get("Proxy-Authorization") == "" {
		h.Set("Proxy-Authorization", basicAuth(proxy.User))
	}
	return h, nil
}

var errSentAfterAnswer = errors.New("data after its answer to CONNECT")

// openTunnel asks an HTTP proxy for a connection to addr (RFC 9110, section 9.3.6).
func openTunnel(conn net.Conn, header http.Header, addr string) error {
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr, Header: header}
	if err := req.Write(conn); err != nil {
		return err
	}
	br := bufio.NewReader(&headReader{r: conn, left: maxHead})
	line, err := readFinalStatus(br)
	switch {
	case err != nil:
		return tunnelError(err)
	case line.status/100 != 2:
		refused := newRefusedError(readRefusal(line, br, req))
		refused.Proxy = true
		return refused
	}
	// A Content-Length or Transfer-Encoding in it has no meaning.
	if _, err := readHeader(br); err != nil {
		return tunnelError(err)
	}
	if br.Buffered() > 0 { // the client speaks first, over TLS and without
		return errSentAfterAnswer
	}
	return nil
}

// tunnelError is exchangeError for the answer of a proxy.
func tunnelError(err error) error {
	var he headError
	switch {
	case errors.As(err, &he):
		return fmt.Errorf("malformed HTTP in its answer to CONNECT: %w", he.error)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the connection ended before its answer to CONNECT: %w", err)
	}
	return err
}

// openSOCKS asks a SOCKS5 proxy for a connection to addr (RFC 1928), with the user and
// password of its URL, if it has any (RFC 1929). The proxy resolves the name of the host, as
// with net/http, whether the scheme is socks5 or socks5h.
func openSOCKS(conn net.Conn, u *url.URL, addr string) error {
	var auth *proxy.Auth
	if u.User != nil {
		password, _ := u.User.Password()
		auth = &proxy.Auth{User: u.User.Username(), Password: password}
	}
	// Dial and not DialContext, which would set deadlines and watch its context on a
	// goroutine: runWithContext interrupts also a connection that has no deadlines.
	d, err := proxy.SOCKS5("tcp", address(u), auth, connected{conn})
	if err == nil {
		_, err = d.Dial("tcp", addr)
	}
	if op := new(net.OpError); errors.As(err, &op) && errors.Is(op.Err, io.EOF) {
		return fmt.Errorf("the connection ended before its answer: %w", io.ErrUnexpectedEOF)
	}
	return err
}

// connected is a dialer of package proxy that returns an existing connection.
type connected struct{ conn net.Conn }

// Dial implements proxy.Dialer.
func (c connected) Dial(string, string) (net.Conn, error) { return c.conn, nil }

// DialContext implements proxy.ContextDialer: without it package proxy starts a goroutine.
func (c connected) DialContext(context.Context, string, string) (net.Conn, error) { return c.conn, nil }
