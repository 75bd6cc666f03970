package handshake

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
)

// connect connects to the server at u, through a proxy if one is chosen for it. Every error
// names the proxy, also if ctx has ended: then it wraps the cause of ctx.
func (cfg *ClientConfig) connect(ctx context.Context, u *url.URL) (net.Conn, error) {
	proxy, err := cfg.chooseProxy(u)
	if err != nil {
		return nil, err
	}
	if proxy == nil {
		conn, err := cfg.netDial(ctx, address(u))
		return conn, contextErr(ctx, err)
	}
	if proxy.Scheme != "http" && proxy.Scheme != "https" {
		return nil, fmt.Errorf("a proxy of the scheme %q is not supported: use http or https, or Network.Dial", proxy.Scheme)
	}
	conn, err := cfg.connectThrough(ctx, proxy, address(u))
	var refused *RefusedError
	if err != nil && !errors.As(err, &refused) { // a RefusedError says that the proxy has refused
		err = fmt.Errorf("the proxy %s: %w", proxy.Host, err)
	}
	return conn, err
}

// connectThrough makes a tunnel to addr through a proxy.
func (cfg *ClientConfig) connectThrough(ctx context.Context, proxy *url.URL, addr string) (net.Conn, error) {
	plain, err := cfg.netDial(ctx, address(proxy))
	if err != nil {
		return nil, contextErr(ctx, err)
	}
	conn := plain
	if proxy.Scheme == "https" {
		if conn, err = cfg.startTLS(ctx, plain, proxy); err != nil {
			_ = plain.Close() // the error to report is err
			return nil, contextErr(ctx, err)
		}
	}
	if err := runWithContext(ctx, conn, func() error { return openTunnel(conn, proxy, addr) }); err != nil {
		_ = conn.Close() // the error to report is err
		return nil, err
	}
	return conn, nil
}

// chooseProxy returns the proxy for the server at u, or nil. Functions made for net/http
// know only the schemes http and https.
func (cfg *ClientConfig) chooseProxy(u *url.URL) (*url.URL, error) {
	choose := cfg.Proxy
	if choose == nil {
		choose = http.ProxyFromEnvironment
	}
	asHTTP := *u
	asHTTP.Scheme = map[string]string{"ws": "http", "wss": "https"}[u.Scheme]
	proxy, err := choose(&http.Request{Method: http.MethodGet, URL: &asHTTP, Host: u.Host, Header: make(http.Header)})
	if err != nil {
		return nil, fmt.Errorf("choosing a proxy: %w", err)
	}
	return proxy, nil
}

func (cfg *ClientConfig) netDial(ctx context.Context, addr string) (net.Conn, error) {
	if cfg.NetDial != nil {
		return cfg.NetDial(ctx, "tcp", addr)
	}
	var nd net.Dialer
	return nd.DialContext(ctx, "tcp", addr)
}

// address returns host and port of a URL.
func address(u *url.URL) string {
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "ws":
		port = defaultPort("http")
	case u.Scheme == "wss":
		port = defaultPort("https")
	default:
		port = defaultPort(u.Scheme)
	}
	return net.JoinHostPort(u.Hostname(), port)
}

var errSentAfterAnswer = errors.New("data after its answer to CONNECT")

// openTunnel asks the proxy for a connection to addr (RFC 9110, section 9.3.6).
func openTunnel(conn net.Conn, proxy *url.URL, addr string) error {
	req := &http.Request{
		Method: http.MethodConnect,
		URL:    &url.URL{Opaque: addr},
		Host:   addr,
		Header: make(http.Header),
	}
	if proxy.User != nil {
		req.Header.Set("Proxy-Authorization", basicAuth(proxy.User))
	}
	if err := req.Write(conn); err != nil {
		return err
	}
	br := bufio.NewReader(&headReader{r: conn, left: maxHead})
	res, err := http.ReadResponse(br, req)
	if err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return newRefusedError(res, true)
	}
	if br.Buffered() > 0 { // the client speaks first, over TLS and without
		return errSentAfterAnswer
	}
	return nil
}
