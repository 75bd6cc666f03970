package handshake

import (
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
	conn, err := cfg.connectThrough(ctx, proxy, address(u))
	var refused *RefusedError
	if errors.As(err, &refused) { // says that the proxy has refused
		refused.Detail.ProxyHost = proxy.Host
	} else if err != nil {
		err = fmt.Errorf("the proxy %s: %w", proxy.Host, err)
	}
	return conn, err
}

// connectThrough makes a tunnel to addr through a proxy.
func (cfg *ClientConfig) connectThrough(ctx context.Context, proxy *url.URL, addr string) (_ net.Conn, err error) {
	var open func(net.Conn) error
	switch proxy.Scheme {
	case "http", "https":
		header, err := cfg.connectHeader(ctx, proxy, addr)
		if err != nil {
			return nil, contextErr(ctx, err)
		}
		open = func(conn net.Conn) error { return openTunnel(conn, header, addr) }
	case "socks5", "socks5h", "socks":
		open = func(conn net.Conn) error { return openSOCKS(conn, proxy, addr) }
	default:
		return nil, fmt.Errorf("its scheme %q is not supported: use http, https or socks5, or Network.Dial", proxy.Scheme)
	}
	if proxy.Hostname() == "" {
		return nil, errors.New("its URL names no host")
	}
	conn, err := cfg.netDial(ctx, address(proxy))
	if err != nil {
		return nil, contextErr(ctx, err)
	}
	plain := conn
	defer func() {
		if err != nil {
			_ = plain.Close() // the error to report is err
		}
	}()
	if proxy.Scheme == "https" {
		if conn, err = startTLS(ctx, conn, cfg.TLS, proxy); err != nil {
			return nil, contextErr(ctx, err)
		}
	}
	if err := runWithContext(ctx, conn, func() error { return open(conn) }); err != nil {
		return nil, err
	}
	return conn, nil
}

// chooseProxy returns the proxy for the server at u, or nil. Functions made for net/http
// know only the schemes http and https.
func (cfg *ClientConfig) chooseProxy(u *url.URL) (*url.URL, error) {
	choose := cfg.Proxy
	if choose == nil {
		choose = proxyFromEnvironment
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
func address(u *url.URL) string { return net.JoinHostPort(u.Hostname(), port(u)) }

// port returns the port of a URL, which may be the default of its scheme.
func port(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	switch u.Scheme {
	case "ws":
		return defaultPort("http")
	case "wss":
		return defaultPort("https")
	case "socks5", "socks5h", "socks":
		return "1080" // RFC 1928, section 3
	}
	return defaultPort(u.Scheme)
}
