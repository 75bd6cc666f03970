//go:build unix

// Package operations_test runs the configurations beside it: each proxy in front of a
// server of this repository.
package operations_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestMain(m *testing.M) { wstest.Main(m) }

// host is the name of the site in the configurations.
const host = "chat.example.com"

// dial connects to a proxy as a client with the address 127.0.0.2, so that it can be
// distinguished from the proxy.
func dial(t *testing.T, addr string, protocols ...string) *tls.Conn {
	t.Helper()
	d := &net.Dialer{Timeout: wstest.Patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	conn, err := tls.DialWithDialer(d, "tcp", addr, &tls.Config{
		ServerName:         host,
		InsecureSkipVerify: true, // made for this test
		NextProtos:         protocols,
	})
	if err != nil && strings.Contains(err.Error(), "can't assign requested address") {
		t.Skip("this system has no address 127.0.0.2 (ifconfig lo0 alias 127.0.0.2)")
	}
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// handshake requests a WebSocket through a proxy, with the header's name and value pairs.
func handshake(t *testing.T, addr, path string, header ...string) *wstest.Client {
	t.Helper()
	req := wstest.Request(t, "http://"+host+path)
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	return wstest.HandshakeOn(t, dial(t, addr), req, nil)
}

// welcome is the service's first message to the tests' client.
const welcome = "127.0.0.2 asks https://" + host + " by way of 127.0.0.1"

func TestProxies(t *testing.T) {
	for _, p := range proxies {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			addr := p.start(t, s.addr)

			t.Run("sockets", func(t *testing.T) {
				c := handshake(t, addr, "/ws")
				require.Equal(t, http.StatusSwitchingProtocols, c.Response.StatusCode)
				c.ExpectText(welcome)
				big := strings.Repeat("x", 64<<10)
				c.SendText(big)
				c.ExpectText(big)
				c.SendClose(1000, "bye")
				c.ExpectClose(1000)
				require.NoError(t, <-s.closed)
			})
			t.Run("requests, over both versions of HTTP", func(t *testing.T) { requests(t, addr) })
			t.Run("a client's own headers are not trusted", func(t *testing.T) {
				c := handshake(t, addr, "/ws", "X-Forwarded-For", "6.6.6.6", "X-Forwarded-Proto", "http", "X-Forwarded-Host", "evil.example")
				c.ExpectText(welcome)
				c.Kill()
				require.Error(t, <-s.closed)
			})
			t.Run("origins", func(t *testing.T) {
				for _, tt := range []struct {
					host, origin string
					status       int
				}{
					{host, "https://" + host, 101},
					{host + ":8443", "https://" + host + ":8443", 101},
					{host, "https://evil.example", 403},
					{host, "null", 403},
				} {
					c := handshake(t, addr, "/ws", "Host", tt.host, "Origin", tt.origin)
					require.Equal(t, tt.status, c.Response.StatusCode, "%+v", tt)
					if tt.status == 101 {
						c.Kill()
						require.Error(t, <-s.closed)
					}
				}
			})
			t.Run("an answer to a request without a handshake", func(t *testing.T) {
				res, body := get(t, addr, "http/1.1", "/ws")
				require.Equal(t, http.StatusUpgradeRequired, res.StatusCode)
				require.Contains(t, body, "WebSocket")
			})
			t.Run("idle", func(t *testing.T) { p.testIdleTimeout(t, s, addr) })
			t.Run("the end of the process", func(t *testing.T) {
				c := handshake(t, addr, "/ws")
				c.ExpectText(welcome)
				s.stop()
				c.ExpectClose(1001)
				require.ErrorIs(t, <-s.closed, wsmanager.ErrShutdown)
				err := <-s.ended
				s.ended <- err
				require.NoError(t, err)
				require.Equal(t, p.gone, handshake(t, addr, "/ws").Response.StatusCode)
			})
		})
	}
}

func requests(t *testing.T, addr string) {
	for _, version := range []string{"http/1.1", "h2"} {
		res, body := get(t, addr, version, "/who")
		require.Equal(t, http.StatusOK, res.StatusCode)
		require.Equal(t, welcome, body)
		require.Equal(t, version == "h2", res.ProtoMajor == 2)
		res, body = get(t, addr, version, "/health")
		require.Equal(t, http.StatusOK, res.StatusCode)
		require.Equal(t, "Healthy", body)
	}
}

func get(t *testing.T, addr, version, path string) (*http.Response, string) {
	t.Helper()
	transport := &http.Transport{
		ForceAttemptHTTP2: version == "h2",
		TLSNextProto:      nil,
		DialTLSContext:    func(context.Context, string, string) (net.Conn, error) { return dial(t, addr, version), nil },
	}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+host+path, nil)
	require.NoError(t, err)
	res, err := transport.RoundTrip(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, string(body)
}

// testIdleTimeout checks that pings keep a socket open beyond the proxy's timeout, and that a socket
// without them is closed.
func (p proxy) testIdleTimeout(t *testing.T, s *service, addr string) {
	c := handshake(t, addr, "/ws")
	c.ExpectText(welcome)
	silent := handshake(t, addr, "/silent")
	silent.ExpectText(welcome)
	start := time.Now()
	for time.Since(start) < cut+cut/2 {
		c.SendPong(c.ExpectPing())
	}
	if p.cutsIdle {
		silent.ExpectEOF()
		require.Error(t, <-s.closed)
	} else {
		silent.SendText("still here")
		silent.ExpectText("still here")
		silent.Kill()
		require.Error(t, <-s.closed)
	}
	c.SendText("still here")
	for { // after the pings that are on their way
		f, err := c.ReadFrame()
		require.NoError(t, err)
		if f.Header.OpCode.IsData() {
			require.Equal(t, "still here", string(f.Payload))
			break
		}
	}
	c.Kill()
	require.Error(t, <-s.closed)
}
