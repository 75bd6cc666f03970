//go:build unix

// Package operations_test runs the configurations beside it: each proxy in front of
// a server of ours.
package operations_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestMain(m *testing.M) { wstest.Main(m) }

// host is the name of the site in the configurations.
const host = "chat.example.com"

// service is a server of ours, to stand behind a proxy.
type service struct {
	addr   string
	closed chan error // what OnClose was told
	stop   context.CancelFunc
	ended  chan error
}

// pings is how often /ws pings; /silent does not.
const pings = 250 * time.Millisecond

func serve(t *testing.T) *service {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	s := &service{closed: make(chan error, 10), ended: make(chan error, 1)}
	callbacks := wsmanager.Callbacks{
		OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
			return wsmanager.Accept{Value: whoAsks(r)}, nil
		},
		OnConnect: func(c *wsmanager.Conn) error {
			who, _ := wsmanager.Value[string](c)
			return c.Send(wsmanager.Text(who))
		},
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) },
		OnClose:   func(_ *wsmanager.Conn, err error) { s.closed <- err },
	}
	pinging := wsmanager.MustNew(callbacks, wsmanager.Options{Logger: quiet, PingInterval: pings})
	silent := wsmanager.MustNew(callbacks, wsmanager.Options{Logger: quiet, PingInterval: time.Hour, IdleTimeout: 2 * time.Hour})

	app := pipeline.New()
	app.Use(middleware.Forwarded(middleware.ForwardedOptions{
		Trusted: []string{"127.0.0.1"},
		Headers: []string{"X-Forwarded-For", "X-Forwarded-Proto"},
		Logger:  quiet,
	}))
	app.Use(middleware.HealthChecks(middleware.HealthChecksOptions{Path: "/health", Logger: quiet}))
	app.Mount("/ws", pinging)
	app.Mount("/silent", silent)
	app.RunFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, whoAsks(r)) })

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.addr = ln.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	srv := &http.Server{Handler: app.MustBuild(), ErrorLog: slog.NewLogLogger(quiet.Handler(), slog.LevelError)}
	go func() { s.ended <- pipeline.ServeListener(ctx, ln, srv, pinging.Shutdown, silent.Shutdown) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-s.ended:
			require.NoError(t, err)
		case <-time.After(2 * pipeline.DrainTimeout):
			t.Error("the server did not end")
		}
	})
	return s
}

// whoAsks is how a request looks behind the proxy.
func whoAsks(r *http.Request) string {
	client, _, _ := net.SplitHostPort(r.RemoteAddr)
	peer, _, _ := net.SplitHostPort(middleware.PeerAddr(r))
	return fmt.Sprintf("%s asks %s://%s by way of %s", client, middleware.Scheme(r), r.Host, peer)
}

// proxy is a proxy that the tests know how to run.
type proxy struct {
	name, program, debian string

	// configure writes what the program needs into dir and returns the command line.
	configure func(t *testing.T, dir string, port int, behind string) []string

	cutsIdle bool // has a time-out for tunnels
	gone     int  // the answer when the server is not there
}

// cut is the proxies' time-out for sockets on which nothing moves.
const cut = 4 * time.Second

var proxies = []proxy{
	{"nginx", "nginx", "nginx", func(t *testing.T, dir string, port int, behind string) []string {
		write(t, dir, "site.conf", edit(t, "nginx.conf",
			"127.0.0.1:8080", behind,
			"listen 443 ssl", fmt.Sprintf("listen 127.0.0.1:%d ssl", port),
			"/etc/ssl/chat.example.com.crt", filepath.Join(dir, "cert.pem"),
			"/etc/ssl/chat.example.com.key", filepath.Join(dir, "key.pem"),
			"proxy_read_timeout 75s", fmt.Sprintf("proxy_read_timeout %dms", cut.Milliseconds())))
		return nginx(t, dir)
	}, true, 502},
	{"haproxy", "haproxy", "haproxy", func(t *testing.T, dir string, port int, behind string) []string {
		write(t, dir, "haproxy.cfg", edit(t, "haproxy.cfg",
			"127.0.0.1:8080", behind,
			"bind :443", fmt.Sprintf("bind 127.0.0.1:%d", port),
			"/etc/haproxy/chat.example.com.pem", filepath.Join(dir, "both.pem"),
			"maxconn 10000", "maxconn 100",
			"timeout tunnel 75s", fmt.Sprintf("timeout tunnel %dms", cut.Milliseconds())))
		return []string{"haproxy", "-db", "-f", filepath.Join(dir, "haproxy.cfg")}
	}, true, 503},
	{"caddy", "caddy", "caddy", func(t *testing.T, dir string, port int, behind string) []string {
		write(t, dir, "Caddyfile", "{\n\tadmin off\n\tauto_https disable_redirects\n}\n"+edit(t, "Caddyfile",
			"127.0.0.1:8080", behind,
			host+" {", fmt.Sprintf("https://%s:%d {\n\tbind 127.0.0.1\n\ttls %s %s", host, port, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))))
		return []string{"caddy", "run", "--config", filepath.Join(dir, "Caddyfile"), "--adapter", "caddyfile"}
	}, false, 502},
}

// nginx is the command line for a site.conf in dir, with what distributions put
// around it.
func nginx(t *testing.T, dir string) []string {
	t.Helper()
	conf := "daemon off;\nmaster_process off;\nerror_log stderr;\npid " + filepath.Join(dir, "pid") + ";\nevents {}\nhttp {\naccess_log off;\n"
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		conf += kind + "_temp_path " + filepath.Join(dir, kind) + ";\n"
	}
	write(t, dir, "nginx.conf", conf+"include "+filepath.Join(dir, "site.conf")+";\n}\n")
	return []string{"nginx", "-p", dir, "-e", "stderr", "-c", filepath.Join(dir, "nginx.conf")}
}

// edit returns the text of a file with old and new strings replaced, each of which
// must be there exactly once.
func edit(t *testing.T, file string, oldNew ...string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	text := string(b)
	for i := 0; i < len(oldNew); i += 2 {
		require.Equal(t, 1, strings.Count(text, oldNew[i]), "%s has to have %q once", file, oldNew[i])
		text = strings.Replace(text, oldNew[i], oldNew[i+1], 1)
	}
	return text
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
}

// start runs the proxy in front of a service and returns its address.
func (p proxy) start(t *testing.T, behind string) string {
	t.Helper()
	addr, _, _ := p.run(t, behind, p.configure)
	return addr
}

// run runs the proxy, configured in a folder, until the end of the test.
func (p proxy) run(t *testing.T, behind string, configure func(t *testing.T, dir string, port int, behind string) []string) (addr, dir string, cmd *exec.Cmd) {
	t.Helper()
	if _, err := exec.LookPath(p.program); err != nil {
		missing(t, fmt.Sprintf("%s is not installed (Debian: apt-get install %s)", p.name, p.debian))
	}
	for range 5 { // somebody else may take the port first
		dir := t.TempDir()
		certificate(t, dir)
		port := freePort(t)
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		args := configure(t, dir, port, behind)
		var out output
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = environment(dir)
		cmd.Stdout, cmd.Stderr = &out, &out
		require.NoError(t, cmd.Start())
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }()
		t.Cleanup(func() {
			_ = cmd.Process.Signal(syscall.SIGTERM) // has ended already, or ends its workers and itself
			select {
			case <-ended:
			case <-time.After(wstest.Patience):
				_ = cmd.Process.Kill()
				<-ended
				t.Errorf("%s did not end", p.name)
			}
			if t.Failed() {
				t.Logf("%s said:\n%s", p.name, out.String())
			}
		})
		if answers(addr, ended) {
			return addr, dir, cmd
		}
	}
	t.Fatalf("%s did not start", p.name)
	return "", "", nil
}

// environment keeps what a program remembers in dir.
func environment(dir string) []string {
	return append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
}

// answers waits until somebody listens at addr, or ended is closed.
func answers(addr string, ended <-chan struct{}) bool {
	for deadline := time.Now().Add(wstest.Patience); time.Now().Before(deadline); {
		if conn, err := net.Dial("tcp", addr); err == nil {
			_ = conn.Close()
			return true
		}
		select {
		case <-ended:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return false
}

func freePort(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// missing skips a test that needs what this machine does not have, or fails it
// where nothing may be skipped.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("SPEAKINGTUBE_REQUIRE_ALL") == "1" {
		t.Fatalf("%s, and SPEAKINGTUBE_REQUIRE_ALL is set", what)
	}
	t.Skip(what)
}

// output is what a program prints.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// dial connects to a proxy as a client with the address 127.0.0.2 would, so that it
// can be told from the proxy.
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

// handshake asks for a WebSocket through a proxy, with the header's name and value pairs.
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

// welcome is what a service says to the tests' client.
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
			t.Run("what a client says about itself is not believed", func(t *testing.T) {
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
			t.Run("what is no handshake reads so", func(t *testing.T) {
				res, body := get(t, addr, "http/1.1", "/ws")
				require.Equal(t, http.StatusUpgradeRequired, res.StatusCode)
				require.Contains(t, body, "WebSocket")
			})
			t.Run("idle", func(t *testing.T) { p.idle(t, s, addr) })
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

// idle shows that pings carry a socket over the proxy's time-out, and that one
// without them is cut.
func (p proxy) idle(t *testing.T, s *service, addr string) {
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
	for { // behind the pings that are on their way
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
