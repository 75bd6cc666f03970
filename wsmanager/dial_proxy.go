package wsmanager

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// longAgo as a deadline breaks reads and writes off.
var longAgo = time.Unix(1, 0)

// reach connects to the server, through a proxy if there is one for it.
func (d *attempt) reach(ctx context.Context) (net.Conn, error) {
	proxy, err := d.proxy()
	if err != nil {
		return nil, err
	}
	if proxy == nil {
		return d.netDial(ctx, address(d.target))
	}
	if proxy.Scheme != "http" && proxy.Scheme != "https" {
		return nil, fmt.Errorf("a proxy of the scheme %q is not supported: http and https are; NetDial can do more", proxy.Scheme)
	}
	conn, err := d.netDial(ctx, address(proxy))
	if err == nil && proxy.Scheme == "https" {
		plain := conn
		if conn, err = d.startTLS(ctx, plain, proxy); err != nil {
			_ = plain.Close() // the error that matters is there
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the proxy %s: %w", proxy.Host, err)
	}
	if err := during(ctx, conn, func() error { return d.tunnel(conn, proxy) }); err != nil {
		_ = conn.Close() // the error that matters is there
		return nil, err
	}
	return conn, nil
}

// proxy returns the proxy to go through, nil for none.
func (d *attempt) proxy() (*url.URL, error) {
	choose := d.opts.Proxy
	if choose == nil {
		choose = http.ProxyFromEnvironment
	}
	u := *d.target
	u.Scheme = map[string]string{"ws": "http", "wss": "https"}[u.Scheme]
	proxy, err := choose(&http.Request{Method: http.MethodGet, URL: &u, Host: u.Host, Header: make(http.Header)})
	if err != nil {
		return nil, fmt.Errorf("choosing a proxy: %w", err)
	}
	return proxy, nil
}

func (d *attempt) netDial(ctx context.Context, addr string) (net.Conn, error) {
	if d.opts.NetDial != nil {
		return d.opts.NetDial(ctx, "tcp", addr)
	}
	var nd net.Dialer
	return nd.DialContext(ctx, "tcp", addr)
}

// address is where to connect to for a URL.
func address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"ws": "80", "http": "80", "wss": "443", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

var errProxySpoke = errors.New("the proxy sent something behind its answer to CONNECT")

// tunnel asks the proxy for a way to the server (RFC 9110, section 9.3.6).
func (d *attempt) tunnel(conn net.Conn, proxy *url.URL) error {
	addr := address(d.target)
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
		return fmt.Errorf("the proxy %s: %w", proxy.Host, err)
	}
	br := bufio.NewReader(&headReader{r: conn, left: maxHandshake})
	res, err := http.ReadResponse(br, req)
	if err != nil {
		return fmt.Errorf("the proxy %s: %w", proxy.Host, err)
	}
	if res.StatusCode/100 != 2 {
		return refusalOf(res, true)
	}
	if br.Buffered() > 0 { // the server does not speak first, neither over TLS nor without
		return errProxySpoke
	}
	return nil
}
