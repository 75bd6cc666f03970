package wsmanager_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// proxy is an HTTP proxy that connects every CONNECT request to the same address.
type proxy struct {
	*httptest.Server
	mu    sync.Mutex // guards the fields below
	asked []string
}

func (p *proxy) log() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.asked...)
}

// newProxy returns a proxy for the user me with the password secret.
func newProxy(t *testing.T, target string, overTLS bool) *proxy {
	t.Helper()
	p := &proxy{}
	var wg sync.WaitGroup
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked = append(p.asked, r.Method+" "+r.RequestURI)
		p.mu.Unlock()
		auth := http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
		if user, password, _ := auth.BasicAuth(); user != "me" || password != "secret" {
			w.Header().Set("Proxy-Authenticate", "Basic")
			http.Error(w, "not you", http.StatusProxyAuthRequired)
			return
		}
		out, err := net.Dial("tcp", target)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.WriteHeader(http.StatusOK)
		in, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		wg.Go(func() {
			_, _ = io.Copy(out, buffered)
			_ = out.(*net.TCPConn).CloseWrite()
		})
		wg.Go(func() {
			_, _ = io.Copy(in, out)
			_ = in.Close()
			_ = out.Close()
		})
	}))
	if overTLS {
		p.StartTLS()
	} else {
		p.Start()
	}
	t.Cleanup(func() {
		p.Close()
		wg.Wait()
	})
	return p
}

func TestDialThroughProxy(t *testing.T) { onSocketDrivers(t, testDialThroughProxy) }

func testDialThroughProxy(t *testing.T) {
	for _, server := range []string{"ws", "wss"} {
		for _, scheme := range []string{"http", "https"} {
			t.Run(server+" through "+scheme, func(t *testing.T) {
				target, cfg := echoServer(t, server == "wss")
				u, err := url.Parse(target)
				require.NoError(t, err)
				p := newProxy(t, u.Host, scheme == "https")
				if scheme == "https" {
					if cfg == nil {
						cfg = &tls.Config{RootCAs: p.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
					} else {
						cfg.RootCAs.AddCert(p.Certificate())
					}
				}
				via, err := url.Parse(p.URL)
				require.NoError(t, err)
				via.User = url.UserPassword("me", "secret")
				opts := dialOptionsWithoutLog()
				opts.Network.TLS = cfg
				opts.Network.Proxy = func(r *http.Request) (*url.URL, error) {
					require.Equal(t, map[string]string{"ws": "http", "wss": "https"}[server], r.URL.Scheme)
					return via, nil
				}
				got := make(chan string, 1)
				// The proxy resolves the name, so the name need not exist.
				c := connect(t, server+"://example.com/", wsmanager.Callbacks{
					OnMessage: func(_ *wsmanager.Conn, m wsmanager.Message) error { got <- string(m.Payload); return nil },
				}, opts)
				require.NoError(t, c.Send(wsmanager.Text("hello")))
				require.Equal(t, "hello", receive(t, got))
				require.Equal(t, []string{"CONNECT example.com:" + map[string]string{"ws": "80", "wss": "443"}[server]}, p.log())
				require.NoError(t, c.Close(1000, ""))
				<-c.Context().Done()

				via.User = url.UserPassword("me", "wrong")
				_, err = dialAs(t.Context(), t, server+"://example.com/", wsmanager.Callbacks{}, opts)
				var refused *wsmanager.RefusedError
				require.ErrorAs(t, err, &refused)
				require.True(t, refused.Proxy)
				require.Equal(t, 407, refused.StatusCode)
				require.Equal(t, "not you\n", string(refused.Body))
				require.NotContains(t, err.Error(), "wrong")
			})
		}
	}
	opts := dialOptionsWithoutLog()
	opts.Network.Proxy = http.ProxyURL(&url.URL{Scheme: "socks4", Host: "127.0.0.1:1"})
	_, err := dialAs(t.Context(), t, "ws://example.com/", wsmanager.Callbacks{}, opts)
	require.ErrorContains(t, err, `"socks4" is not supported`)
}

// If a proxy can't be selected, reached or understood, the error names the proxy.
func TestDialProxyFailures(t *testing.T) { onSocketDrivers(t, testDialProxyFailures) }

func testDialProxyFailures(t *testing.T) {
	answering := func(answer string) string {
		return rawServer(t, func(conn net.Conn, _ string) { _, _ = io.WriteString(conn, answer) })
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0") // a connection is accepted by the system only
	require.NoError(t, err)
	defer silent.Close()
	noTLS, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer noTLS.Close()
	go func() {
		conn, err := noTLS.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.ReadFull(conn, make([]byte, 5)) // the header of a TLS record; the rest may contain any byte
		_, _ = io.WriteString(conn, "what?\r\n")
		_, _ = io.Copy(io.Discard, conn)
	}()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	for name, tt := range map[string]struct{ proxy, want string }{
		"refuses connections":       {closed.URL, "the proxy 127.0.0.1"},
		"no TLS":                    {"https://" + noTLS.Addr().String(), "the proxy 127.0.0.1"},
		"silent":                    {"http://" + silent.Addr().String(), "no handshake within"},
		"silent with TLS":           {"https://" + silent.Addr().String(), "no handshake within"},
		"no HTTP":                   {strings.Replace(answering("220 smtp.example.com ESMTP\r\n"), "ws:", "http:", 1), "malformed HTTP"},
		"ends at once":              {strings.Replace(answering(""), "ws:", "http:", 1), "EOF"},
		"response too long":         {strings.Replace(answering("HTTP/1.1 200 OK\r\nX: "+repeat("x", 70_000)), "ws:", "http:", 1), "bigger than"},
		"speaks after its response": {strings.Replace(answering("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n"), "ws:", "http:", 1), "after its answer to CONNECT"},
	} {
		t.Run(name, func(t *testing.T) {
			via, err := url.Parse(tt.proxy)
			require.NoError(t, err)
			opts := dialOptionsWithoutLog()
			opts.Network.Proxy = http.ProxyURL(via)
			if strings.HasPrefix(name, "silent") {
				opts.Timeouts.Handshake = 50 * time.Millisecond
			}
			_, err = dialAs(t.Context(), t, "ws://example.com/", wsmanager.Callbacks{}, opts)
			require.ErrorContains(t, err, tt.want)
			require.ErrorContains(t, err, "the proxy "+via.Host)
		})
	}
	opts := dialOptionsWithoutLog()
	lost := errors.New("lost the list")
	opts.Network.Proxy = func(*http.Request) (*url.URL, error) { return nil, lost }
	_, err = dialAs(t.Context(), t, "ws://example.com/", wsmanager.Callbacks{}, opts)
	require.ErrorIs(t, err, lost)
}

// The environment is read once in a process, so this test needs a process of its own.
func TestDialProxyFromEnvironment(t *testing.T) {
	if os.Getenv("DIAL_THROUGH_PROXY") != "" {
		c, err := wsmanager.Dial(t.Context(), "ws://example.com/", wsmanager.Callbacks{}, dialOptionsWithoutLog())
		require.NoError(t, err)
		require.NoError(t, c.Close(1000, ""))
		<-c.Context().Done()
		return
	}
	target, _ := echoServer(t, false)
	p := newProxy(t, strings.TrimPrefix(target, "http://"), false)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDialProxyFromEnvironment$")
	cmd.Env = append(os.Environ(), "DIAL_THROUGH_PROXY=1", "NO_PROXY=", "no_proxy=", "http_proxy=", "HTTP_PROXY="+strings.Replace(p.URL, "://", "://me:secret@", 1))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, p.log(), "CONNECT example.com:80")
}
