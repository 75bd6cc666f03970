package wsmanager_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// socksServer is a SOCKS5 proxy that connects every request to the same address.
type socksServer struct {
	addr, target   string
	user, password string // required, if not empty

	mu    sync.Mutex // guards the field below
	asked []string   // hosts and ports
}

func (s *socksServer) log() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.asked...)
}

// newSOCKS starts a proxy. Its URL has no user.
func newSOCKS(t *testing.T, target, user, password string) *socksServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &socksServer{addr: ln.Addr().String(), target: target, user: user, password: password}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(wstest.Patience))
				out, err := s.handshake(conn)
				if err != nil {
					return // the client sees the end
				}
				defer out.Close()
				wg.Go(func() {
					_, _ = io.Copy(out, conn)
					_ = out.(*net.TCPConn).CloseWrite()
				})
				_, _ = io.Copy(conn, out)
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		wg.Wait()
	})
	return s
}

// handshake serves a request (RFC 1928, and RFC 1929 for passwords).
func (s *socksServer) handshake(conn net.Conn) (out net.Conn, err error) {
	read := func(n int) []byte {
		b := make([]byte, n)
		if err == nil {
			_, err = io.ReadFull(conn, b)
		}
		return b
	}
	read(1)
	methods := read(int(read(1)[0]))
	method := byte(0)
	if s.user != "" {
		method = 2
	}
	if err != nil || !bytes.Contains(methods, []byte{method}) {
		_, _ = conn.Write([]byte{5, 0xff})
		return nil, errors.New("no method")
	}
	_, _ = conn.Write([]byte{5, method})
	if s.user != "" {
		read(1)
		user := read(int(read(1)[0]))
		password := read(int(read(1)[0]))
		if string(user) != s.user || string(password) != s.password {
			_, _ = conn.Write([]byte{1, 1})
			return nil, errors.New("wrong password")
		}
		_, _ = conn.Write([]byte{1, 0})
	}
	var host string
	switch head := read(4); head[3] {
	case 1:
		host = net.IP(read(4)).String()
	case 3:
		host = string(read(int(read(1)[0])))
	case 4:
		host = net.IP(read(16)).String()
	}
	port := read(2)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.asked = append(s.asked, net.JoinHostPort(host, fmt.Sprint(int(port[0])<<8|int(port[1]))))
	s.mu.Unlock()
	if out, err = net.Dial("tcp", s.target); err != nil {
		_, _ = conn.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0})
		return nil, err
	}
	_, _ = conn.Write(append([]byte{5, 0, 0, 3, 4}, "name\x00\x50"...))
	return out, nil
}

func TestDialThroughSOCKS(t *testing.T) { onSocketDrivers(t, testDialThroughSOCKS) }

func testDialThroughSOCKS(t *testing.T) {
	for _, server := range []string{"ws", "wss"} {
		target, cfg := echoServer(t, server == "wss")
		u, err := url.Parse(target)
		require.NoError(t, err)
		for _, tt := range []struct {
			name, scheme string
			user         *url.Userinfo
			address      string // of the server
			want         string // as the proxy was asked
		}{
			{"name", "socks5", nil, "example.com", "example.com:" + map[string]string{"ws": "80", "wss": "443"}[server]},
			{"name resolved by the proxy", "socks5h", nil, "example.com:8443", "example.com:8443"},
			{"other spelling", "socks", nil, "example.com:1", "example.com:1"},
			{"IPv4", "socks5", nil, "127.0.0.1:65535", "127.0.0.1:65535"},
			{"IPv6", "socks5", nil, "[::1]:81", "[::1]:81"},
			{"password", "socks5", url.UserPassword("me", "secret"), "example.com", "example.com:" + map[string]string{"ws": "80", "wss": "443"}[server]},
			{"empty password", "socks5h", url.UserPassword("me", ""), "example.com:8080", "example.com:8080"},
			{"password that is not required", "socks5h", url.UserPassword("", ""), "example.com:8080", "example.com:8080"},
		} {
			t.Run(server+" "+tt.name, func(t *testing.T) {
				password, _ := tt.user.Password()
				user := ""
				if tt.user != nil {
					user = tt.user.Username()
				}
				p := newSOCKS(t, u.Host, user, password)
				via := &url.URL{Scheme: tt.scheme, Host: p.addr, User: tt.user}
				opts := dialOptionsWithoutLog()
				opts.Network.TLS = cfg
				opts.Network.Proxy = http.ProxyURL(via)
				got := make(chan string, 1)
				c := connect(t, server+"://"+tt.address+"/", wsmanager.Callbacks{
					OnMessage: func(_ *wsmanager.Conn, m wsmanager.Message) error { got <- string(m.Payload); return nil },
				}, opts)
				require.NoError(t, c.Send(wsmanager.Text("hello")))
				require.Equal(t, "hello", receive(t, got))
				require.Equal(t, []string{tt.want}, p.log())
				require.NoError(t, c.Close(wsmanager.StatusNormalClosure, ""))
				<-c.Context().Done()
			})
		}
	}
}

// A Dialer serves its connections through a SOCKS5 proxy with event loops too.
func TestDialerThroughSOCKS(t *testing.T) { onSocketDrivers(t, testDialerThroughSOCKS) }

func testDialerThroughSOCKS(t *testing.T) {
	target, _ := echoServer(t, false)
	p := newSOCKS(t, strings.TrimPrefix(target, "http://"), "", "")
	opts := dialOptionsWithoutLog()
	opts.Network.Proxy = http.ProxyURL(&url.URL{Scheme: "socks5", Host: p.addr})
	c, err := newDialer(t, "ws://example.com/", wsmanager.Callbacks{}, opts).Dial(t.Context())
	require.NoError(t, err)
	require.Equal(t, usesLoops(t), wsmanager.InLoop(c))
}

// Each error of a SOCKS5 proxy names it, and contains no password.
func TestDialSOCKSFailures(t *testing.T) { onSocketDriversAtOnce(t, testDialSOCKSFailures) }

func testDialSOCKSFailures(t *testing.T) {
	answering := func(answer string) string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		done := make(chan struct{})
		t.Cleanup(func() { _ = ln.Close(); <-done })
		go func() {
			defer close(done)
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(wstest.Patience))
			_, _ = io.ReadFull(conn, make([]byte, 4)) // the methods
			_, _ = io.WriteString(conn, answer)
			_ = conn.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, conn)
		}()
		return ln.Addr().String()
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	silent, err := net.Listen("tcp", "127.0.0.1:0") // a connection is accepted by the system only
	require.NoError(t, err)
	defer silent.Close()
	for _, tt := range []struct {
		name, proxy, server string
		want                string
	}{
		{"refuses connections", closed.Addr().String(), "example.com", "refused"},
		{"silent", silent.Addr().String(), "example.com", "no handshake within"},
		{"wrong password", newSOCKS(t, "", "me", "right").addr, "example.com", "authentication failed"},
		{"server that can't be reached", newSOCKS(t, closed.Addr().String(), "me", "secret").addr, "example.com", "connection refused"},
		{"ends at once", answering(""), "example.com", "the connection ended"},
		{"ends in the answer", answering("\x05\x00\x05\x00"), "example.com", "EOF"},
		{"no method", answering("\x05\xff"), "example.com", "authentication"},
		{"unknown method", answering("\x05\x07"), "example.com", "authentication method 7"},
		{"version 4", answering("\x04\x00"), "example.com", "version 4"},
		{"HTTP", answering("HTTP/1.1 400 Bad Request\r\n\r\n"), "example.com", "version 72"},
		{"forbidden", answering("\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00"), "example.com", "not allowed"},
		{"unknown failure", answering("\x05\x00\x05\xfe\x00\x01\x00\x00\x00\x00\x00\x00"), "example.com", "unknown"},
		{"unknown type of address", answering("\x05\x00\x05\x00\x00\x09\x00\x00\x00\x00\x00\x00"), "example.com", "address type"},
		{"long name", answering("\x05\x00"), strings.Repeat("a", 300), "too long"},
		{"port 0", answering("\x05\x00"), "example.com:0", "port"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opts := dialOptionsWithoutLog()
			opts.Network.Proxy = http.ProxyURL(&url.URL{Scheme: "socks5", Host: tt.proxy, User: url.UserPassword("me", "secret")})
			if tt.name == "silent" {
				opts.Timeouts.Handshake = 50 * time.Millisecond
			}
			_, err := dialAs(t.Context(), t, "ws://"+tt.server, wsmanager.Callbacks{}, opts)
			require.ErrorContains(t, err, "the proxy "+tt.proxy+": ")
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), "secret")
			require.Equal(t, 1, strings.Count(err.Error(), "wsmanager: "), err.Error())
		})
	}
}

// A silent SOCKS5 proxy does not delay Dial beyond Timeouts.Handshake, also if the connection
// has no deadlines.
func TestDialSilentSOCKSWithoutDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		opts := network.dialOptions()
		dial := opts.Network.Dial
		opts.Network.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			require.Equal(t, "proxy.example:1080", addr)
			c, err := dial(ctx, network, addr)
			return channel{c}, err
		}
		opts.Network.Proxy = http.ProxyURL(&url.URL{Scheme: "socks5", Host: "proxy.example"})
		begin := time.Now()
		_, err := wsmanager.Dial(t.Context(), "ws://example.com", wsmanager.Callbacks{}, opts)
		require.ErrorContains(t, err, "the proxy proxy.example: no handshake within")
		require.Equal(t, 10*time.Second, time.Since(begin))
	})
}

// The proxy of the environment may speak SOCKS5.
func TestDialSOCKSFromEnvironment(t *testing.T) {
	target, _ := echoServer(t, false)
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"} {
		t.Run(name, func(t *testing.T) {
			for _, other := range []string{"HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy", "REQUEST_METHOD"} {
				t.Setenv(other, "")
			}
			p := newSOCKS(t, strings.TrimPrefix(target, "http://"), "me", "secret")
			t.Setenv(name, "socks5://me:secret@"+p.addr)
			connect(t, "ws://example.com/", wsmanager.Callbacks{}, dialOptionsWithoutLog())
			require.Equal(t, []string{"example.com:80"}, p.log())
			t.Setenv("NO_PROXY", "example.com")
			opts := dialOptionsWithoutLog()
			direct := errors.New("dialled directly")
			opts.Network.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, direct }
			_, err := wsmanager.Dial(t.Context(), "ws://example.com/", wsmanager.Callbacks{}, opts)
			require.ErrorIs(t, err, direct)
			require.NotContains(t, err.Error(), "the proxy")
		})
	}
}
