//go:build unix

package operations_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// microsocks is a SOCKS5 server. Unlike the other proxies it is in front of clients.
func microsocks(login ...string) proxy {
	return proxy{"microsocks", "microsocks", "microsocks", func(_ *testing.T, _ string, port int, _ string) []string {
		return append([]string{"microsocks", "-i", "127.0.0.1", "-p", fmt.Sprint(port)}, login...)
	}, false, 0}
}

// Clients connect through a SOCKS5 server, with a password and without, to a server with TLS
// and without.
func TestSOCKS(t *testing.T) {
	for name, login := range map[string]*url.Userinfo{"no password": nil, "password": url.UserPassword("me", "s3cret")} {
		t.Run(name, func(t *testing.T) {
			var args []string
			if login != nil {
				password, _ := login.Password()
				args = []string{"-u", login.Username(), "-P", password}
			}
			addr := microsocks(args...).start(t, "")
			for _, scheme := range []string{"ws", "wss"} {
				for _, driver := range []wsmanager.Driver{wsmanager.DriverAuto, wsmanager.DriverGoroutine} {
					t.Run(scheme+" "+driver.String(), func(t *testing.T) {
						throughSOCKS(t, scheme, driver, &url.URL{Scheme: "socks5h", Host: addr, User: login})
					})
				}
			}
			if login == nil {
				return
			}
			for _, wrong := range []*url.Userinfo{nil, url.UserPassword("me", "wr0ng")} {
				opts := wsmanager.DialOptions{Logger: slog.New(slog.DiscardHandler)}
				opts.Network.Proxy = http.ProxyURL(&url.URL{Scheme: "socks5", Host: addr, User: wrong})
				_, err := wsmanager.Dial(t.Context(), "ws://127.0.0.1:1/", wsmanager.Callbacks{}, opts)
				require.ErrorContains(t, err, "the proxy "+addr+": ")
				require.NotContains(t, err.Error(), "wr0ng")
			}
		})
	}
}

// throughSOCKS has an echo through a proxy.
func throughSOCKS(t *testing.T, scheme string, driver wsmanager.Driver, via *url.URL) {
	m := wsmanager.MustNew(wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) },
	}, wsmanager.Options{Logger: slog.New(slog.DiscardHandler)})
	srv := httptest.NewUnstartedServer(m)
	if scheme == "wss" {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	defer srv.Close()
	defer func() { require.NoError(t, m.Shutdown(context.WithoutCancel(t.Context()))) }()

	opts := wsmanager.DialOptions{Logger: slog.New(slog.DiscardHandler), Driver: driver}
	opts.Network.TLS = srv.Client().Transport.(*http.Transport).TLSClientConfig
	opts.Network.Proxy = http.ProxyURL(via)
	var dialled []string
	opts.Network.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialled = append(dialled, addr)
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	got := make(chan string, 1)
	d, err := wsmanager.NewDialer(strings.Replace(srv.URL, "http", "ws", 1), wsmanager.Callbacks{
		OnMessage: func(_ *wsmanager.Conn, m wsmanager.Message) error { got <- string(m.Payload); return nil },
	}, opts)
	require.NoError(t, err)
	defer func() { require.NoError(t, d.Manager().Shutdown(context.WithoutCancel(t.Context()))) }()
	c, err := d.Dial(t.Context())
	require.NoError(t, err)
	long := strings.Repeat("through ", 5000)
	require.NoError(t, c.Send(wsmanager.Text(long)))
	require.Equal(t, long, <-got)
	require.Equal(t, []string{via.Host}, dialled)

	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	_, err = wsmanager.Dial(t.Context(), scheme+"://"+closed.Addr().String(), wsmanager.Callbacks{}, opts)
	require.ErrorContains(t, err, "the proxy "+via.Host+": ")
}
