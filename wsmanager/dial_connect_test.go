package wsmanager_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// CONNECT requests have the headers of the options. The server gets none of them.
func TestDialProxyConnectHeader(t *testing.T) { onSocketDrivers(t, testDialProxyConnectHeader) }

func testDialProxyConnectHeader(t *testing.T) {
	atServer := make(chan http.Header, 1)
	_, target := serve(t, wsmanager.Callbacks{OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
		atServer <- r.Header
		return wsmanager.Accept{}, nil
	}}, optionsWithoutLog(), nil)
	static := http.Header{"x-static": {"1", "2"}, "User-Agent": {"test"}}
	type get = func(context.Context, *url.URL, string) (http.Header, error)
	for _, tt := range []struct {
		name string
		user *url.Userinfo
		h    http.Header
		get  get
		want map[string]string
	}{
		{"none", nil, nil, nil, map[string]string{"X-Static": "", "Proxy-Authorization": ""}},
		{"static", nil, static, nil, map[string]string{"X-Static": "1,2", "User-Agent": "test"}},
		{"static and user", url.UserPassword("me", "secret"), static, nil, map[string]string{"X-Static": "1,2", "Proxy-Authorization": "Basic bWU6c2VjcmV0"}},
		{"token of the application", url.UserPassword("me", "secret"), http.Header{"proxy-authorization": {"Bearer x"}}, nil, map[string]string{"Proxy-Authorization": "Bearer x"}},
		{"function", nil, static, func(ctx context.Context, proxy *url.URL, target string) (http.Header, error) {
			_, limited := ctx.Deadline()
			require.True(t, limited)
			require.Equal(t, "http", proxy.Scheme)
			proxy.Host = "changed" // has no effect
			return http.Header{"X-Target": {target}}, nil
		}, map[string]string{"X-Static": "", "X-Target": "example.com:80"}},
		{"function without headers", nil, static, func(context.Context, *url.URL, string) (http.Header, error) { return nil, nil }, map[string]string{"X-Static": ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			atProxy := make(chan http.Header, 1)
			p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				atProxy <- r.Header
				out, err := net.Dial("tcp", strings.TrimPrefix(target, "http://"))
				if err != nil {
					t.Error(err)
					return
				}
				defer out.Close()
				w.WriteHeader(http.StatusOK)
				in, buffered, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer in.Close()
				go func() { _, _ = io.Copy(out, buffered); _ = out.(*net.TCPConn).CloseWrite() }()
				_, _ = io.Copy(in, out)
			}))
			defer p.Close()
			via, err := url.Parse(p.URL)
			require.NoError(t, err)
			via.User = tt.user
			opts := dialOptionsWithoutLog()
			opts.Network.Proxy = http.ProxyURL(via)
			opts.Network.ProxyConnectHeader = tt.h
			opts.Network.GetProxyConnectHeader = tt.get
			c, err := dialAs(t.Context(), t, "ws://example.com/", wsmanager.Callbacks{}, opts)
			require.NoError(t, err)
			defer shutdown(t, c.Manager())
			h, atServer := receive(t, atProxy), receive(t, atServer)
			for name, want := range tt.want {
				require.Equal(t, want, strings.Join(h.Values(name), ","), name)
				require.Empty(t, atServer.Values(name), name)
			}
		})
	}
}

// Mistakes in headers for CONNECT are found before a connection is made.
func TestDialProxyConnectHeaderMistakes(t *testing.T) {
	opts := dialOptionsWithoutLog()
	opts.Network.ProxyConnectHeader = http.Header{"Bad Name": {"x"}, "X-Split": {"a\r\nb"}, "Content-Length": {"1"}, "Connection": {"close"}, "Host": {"x"}}
	_, err := wsmanager.NewDialer("ws://example.com", wsmanager.Callbacks{}, opts)
	for _, want := range []string{
		`DialOptions.Network.ProxyConnectHeader: the header "Bad Name" has an invalid name`, `"X-Split" has a control character`,
		`"Content-Length" describes a body`, `"Connection" belongs`, `"Host" is the address`,
	} {
		require.ErrorContains(t, err, want)
	}

	lost := errors.New("no token")
	for name, tt := range map[string]struct {
		h    http.Header
		err  error
		want string
	}{
		"an error":     {nil, lost, "no token"},
		"a bad header": {http.Header{"X-Split": {"a\nb"}}, nil, `"X-Split" has a control character`},
		"a host":       {http.Header{"Host": {"x"}}, nil, `"Host" is the address`},
	} {
		t.Run(name, func(t *testing.T) {
			opts := dialOptionsWithoutLog()
			opts.Network.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.example"})
			opts.Network.Dial = func(context.Context, string, string) (net.Conn, error) {
				t.Error("the client dialled in spite of the error")
				return nil, lost
			}
			opts.Network.GetProxyConnectHeader = func(context.Context, *url.URL, string) (http.Header, error) { return tt.h, tt.err }
			_, err := wsmanager.Dial(t.Context(), "ws://example.com", wsmanager.Callbacks{}, opts)
			require.ErrorContains(t, err, "the proxy proxy.example: the headers for CONNECT: ")
			require.ErrorContains(t, err, tt.want)
			require.Equal(t, tt.err != nil, errors.Is(err, lost))
		})
	}
}

// Answers to CONNECT are read with the same tolerance as answers to the handshake.
func TestDialTolerantTunnels(t *testing.T) { onSocketDriversAtOnce(t, testDialTolerantTunnels) }

func testDialTolerantTunnels(t *testing.T) {
	for name, answer := range map[string]string{
		"HTTP/1.0":          "HTTP/1.0 200 Connection established\r\n\r\n",
		"no reason":         "HTTP/1.1 200\r\n\r\n",
		"201":               "HTTP/1.1 201 Created\r\n\r\n",
		"Content-Length":    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
		"Transfer-Encoding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
		"interim answers":   "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
		"folded header":     "HTTP/1.1 200 OK\r\nVia: 1.1 a,\r\n 1.1 b\r\n\r\n",
		"line feeds":        "HTTP/1.1 200 OK\nVia: 1.1 a\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			proxy := rawServer(t, func(conn net.Conn, _ string) {
				_, _ = io.WriteString(conn, answer)
				r, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.WriteString(conn, "HTTP/1.1 418 "+r.Host+"\r\n\r\n")
			})
			opts := dialOptionsWithoutLog()
			opts.Network.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: strings.TrimPrefix(proxy, "ws://")})
			_, err := dialAs(t.Context(), t, "ws://example.com", wsmanager.Callbacks{}, opts)
			var refused *wsmanager.RefusedError
			require.ErrorAs(t, err, &refused)
			require.False(t, refused.Proxy, "the answer of the server, through the tunnel")
			require.Equal(t, 418, refused.StatusCode)
		})
	}
}

// An answer of a proxy that refuses names the proxy. It is never followed.
func TestDialRefusedByProxy(t *testing.T) { onSocketDrivers(t, testDialRefusedByProxy) }

func testDialRefusedByProxy(t *testing.T) {
	for name, tt := range map[string]struct {
		answer string
		status int
		want   string
	}{
		"407":      {"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n", 407, " refused with 407 Proxy Authentication Required"},
		"HTTP/1.0": {"HTTP/1.0 503 Busy\r\n\r\n", 503, " refused with 503 Service Unavailable"},
		"101":      {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", 101, " refused with 101 Switching Protocols"},
		"redirect": {"HTTP/1.1 302 Found\r\nLocation: http://portal.example/?secret\r\n\r\n", 302, ` refused with 302 Found (to "http://portal.example/", which is not followed)`},
	} {
		t.Run(name, func(t *testing.T) {
			proxy := strings.TrimPrefix(rawServer(t, func(conn net.Conn, _ string) { _, _ = io.WriteString(conn, tt.answer) }), "ws://")
			opts := dialOptionsWithoutLog()
			opts.Handshake.MaxRedirects = 5
			opts.Network.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: proxy, User: url.UserPassword("me", "secret")})
			_, err := dialAs(t.Context(), t, "ws://example.com", wsmanager.Callbacks{}, opts)
			var refused *wsmanager.RefusedError
			require.ErrorAs(t, err, &refused)
			require.True(t, refused.Proxy)
			require.Equal(t, tt.status, refused.StatusCode)
			require.EqualError(t, err, "wsmanager: dialling ws://example.com: the proxy "+proxy+tt.want)
		})
	}
	for _, via := range []string{"ftp://proxy.example", "socks4://proxy.example", "http://:3128", "socks5://:1080"} {
		u, err := url.Parse(via)
		require.NoError(t, err)
		opts := dialOptionsWithoutLog()
		opts.Network.Proxy = http.ProxyURL(u)
		_, err = dialAs(t.Context(), t, "ws://example.com", wsmanager.Callbacks{}, opts)
		require.ErrorContains(t, err, "the proxy "+u.Host+": its ")
	}
}
