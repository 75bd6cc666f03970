package wsmanager_test

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// needLoops skips a test of event loops if the system has none.
func needLoops(t *testing.T) {
	t.Helper()
	needH1(t, "an event loop serves sockets")
	needEpoll(t)
}

// needEpoll skips a test that asks for an event loop if the system has none. On Linux a
// missing event loop is an error.
func needEpoll(t *testing.T) {
	t.Helper()
	if wsmanager.HasLoops() {
		return
	}
	if runtime.GOOS == "linux" {
		t.Fatal("there is no event loop on Linux")
	}
	t.Skip("there is no event loop on this system")
}

// eventLoopOptions returns quiet options with DriverEventLoop.
func eventLoopOptions(t *testing.T) wsmanager.Options {
	t.Helper()
	needLoops(t)
	opts := optionsWithoutLog()
	opts.Driver = wsmanager.DriverEventLoop
	return opts
}

func TestDriverOptions(t *testing.T) {
	_, err := wsmanager.New(wsmanager.Callbacks{}, wsmanager.Options{Driver: 3})
	require.EqualError(t, err, "wsmanager: Options.Driver: 3 is not a driver; use one of the constants, or 0 for DriverAuto")
	_, err = wsmanager.New(wsmanager.Callbacks{}, wsmanager.Options{Driver: 255, Outbox: wsmanager.Outbox{Messages: -1}})
	require.ErrorContains(t, err, "Driver: 255")
	require.ErrorContains(t, err, "Outbox.Messages: -1")
	for d, name := range map[wsmanager.Driver]string{
		wsmanager.DriverAuto: "auto", wsmanager.DriverGoroutine: "goroutine", wsmanager.DriverEventLoop: "eventloop", 3: "Driver(3)",
	} {
		require.Equal(t, name, d.String())
	}
	_, err = wsmanager.New(wsmanager.Callbacks{}, wsmanager.Options{Driver: wsmanager.DriverEventLoop})
	if wsmanager.HasLoops() {
		require.NoError(t, err)
	} else {
		require.ErrorContains(t, err, "there is no event loop on this system")
	}
}

// start serves m with an httptest server that configure prepares.
func start(t *testing.T, m *wsmanager.Manager, configure func(*httptest.Server)) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(m)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	serveDriverProtocol(t, srv)
	configure(srv)
	if srv.URL == "" {
		srv.Start()
	}
	t.Cleanup(func() {
		shutdown(t, m)
		srv.Close()
	})
	return srv
}

// dialTLS performs a handshake with a TLS server and returns the client, also if the server
// refuses.
func dialTLS(t *testing.T, srv *httptest.Server) *wstest.Client {
	t.Helper()
	pool := srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	conn, err := tls.Dial("tcp", srv.Listener.Addr().String(), &tls.Config{RootCAs: pool, ServerName: "example.com"})
	require.NoError(t, err)
	return wstest.HandshakeOn(t, conn, wstest.Request(t, srv.URL), nil)
}

// With TLS a forced event loop refuses before any byte of the response is written.
func TestForcedEventLoopRefusesTLS(t *testing.T) {
	needLoops(t)
	opts, log := logged()
	opts.Driver = wsmanager.DriverEventLoop
	j := newJournal()
	m := wsmanager.MustNew(recordingCallbacks(j), opts)
	srv := start(t, m, func(srv *httptest.Server) { srv.StartTLS() })

	c := dialTLS(t, srv)
	require.Equal(t, http.StatusInternalServerError, c.Response.StatusCode)
	body, err := io.ReadAll(c.Response.Body)
	require.NoError(t, err)
	require.Equal(t, "The server failed to accept the connection.\n", string(body), "the client does not learn the reason")
	require.Equal(t, wsmanager.Refused{Failed: 1}, m.Stats().Refused)
	require.Zero(t, m.Stats().Accepted)
	require.Zero(t, m.All().Len())
	rec := log.record(t, 0)
	require.Equal(t, "websocket refused", rec["msg"])
	require.Equal(t, "ERROR", rec["level"])
	require.EqualValues(t, 500, inGroup(rec, "response", "status"))
	require.Contains(t, rec["err"], "the event loop can't serve TLS")
	require.Empty(t, j.all(), "no callback ran")
}

// countedConn is a connection of a listener that limits connections. Its Close must be
// called, and must count once only.
type countedConn struct {
	net.Conn
	closed *atomic.Int64
	once   atomic.Bool
}

func (c *countedConn) Close() error {
	if !c.once.Swap(true) {
		c.closed.Add(1)
	}
	return c.Conn.Close()
}

// embeddingConn has the methods of a TCP connection but is not one. The event loop must not
// use it.
type embeddingConn struct {
	*net.TCPConn
	closed *atomic.Int64
}

func (c *embeddingConn) Close() error {
	c.closed.Add(1)
	return c.TCPConn.Close()
}

// wrappingListener wraps the connections that it accepts.
type wrappingListener struct {
	net.Listener
	wrap func(net.Conn) net.Conn
}

func (l wrappingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.wrap(c), nil
}

// wrappers are the ways in which listeners wrap connections. Each counts calls of Close.
var wrappers = map[string]func(closed *atomic.Int64) func(net.Conn) net.Conn{
	"a field": func(closed *atomic.Int64) func(net.Conn) net.Conn {
		return func(c net.Conn) net.Conn { return &countedConn{Conn: c, closed: closed} }
	},
	"an embedded *net.TCPConn": func(closed *atomic.Int64) func(net.Conn) net.Conn {
		return func(c net.Conn) net.Conn { return &embeddingConn{c.(*net.TCPConn), closed} }
	},
}

// That a connection is wrapped is known only after the 101 was written. Then the connection
// is ended, logged and counted. No callback runs.
func TestForcedEventLoopEndsWrappedConns(t *testing.T) {
	for name, wrap := range wrappers {
		t.Run(name, func(t *testing.T) {
			needLoops(t)
			opts, log := logged()
			opts.Driver = wsmanager.DriverEventLoop
			opts.MaxConnections = 1
			j := newJournal()
			m := wsmanager.MustNew(recordingCallbacks(j), opts)
			var closed atomic.Int64
			srv := start(t, m, func(srv *httptest.Server) {
				srv.Listener = wrappingListener{srv.Listener, wrap(&closed)}
			})
			for i := range 2 { // the first connection has released its slot
				c := handshakeOver(t, wstest.Request(t, srv.URL), nil)
				require.Equal(t, http.StatusSwitchingProtocols, c.Response.StatusCode)
				c.ExpectEOF()
				rec := log.record(t, i)
				require.Equal(t, "websocket refused", rec["msg"])
				require.Equal(t, "WARN", rec["level"])
				require.EqualValues(t, 101, inGroup(rec, "response", "status"))
				require.Contains(t, rec["err"], "the event loop can't serve a *wsmanager_test.")
				require.Eventually(t, func() bool { return m.Stats().Refused.BrokenOff == uint64(i+1) && m.All().Len() == 0 }, wstest.Patience, time.Millisecond)
			}
			require.Equal(t, wsmanager.Refused{BrokenOff: 2}, m.Stats().Refused)
			require.Zero(t, m.Stats().Accepted)
			require.Positive(t, closed.Load(), "the wrapper's Close was called")
			require.Empty(t, j.all())
		})
	}
}

// HTTP/2 has no Upgrade: all drivers refuse in the same way.
func TestForcedEventLoopRefusesHTTP2(t *testing.T) {
	for _, d := range []wsmanager.Driver{wsmanager.DriverAuto, wsmanager.DriverEventLoop} {
		t.Run(d.String(), func(t *testing.T) {
			needLoops(t)
			opts := optionsWithoutLog()
			opts.Driver = d
			m := wsmanager.MustNew(wsmanager.Callbacks{}, opts)
			srv := start(t, m, func(srv *httptest.Server) {
				srv.EnableHTTP2 = true
				srv.StartTLS()
			})
			res, err := srv.Client().Get(srv.URL)
			require.NoError(t, err)
			defer res.Body.Close()
			require.Equal(t, 2, res.ProtoMajor)
			require.Equal(t, http.StatusUpgradeRequired, res.StatusCode)
			require.Empty(t, res.Header.Values("Upgrade"), "HTTP/2 has no such header")
			require.Equal(t, wsmanager.Refused{NotWebSocket: 1}, m.Stats().Refused)
		})
	}
}

// A connection that the event loop can't serve is served by a goroutine, and the wrapper's
// Close is called at the end.
func TestAutoServesWrappedConns(t *testing.T) { onEachDriver(t, testAutoServesWrappedConns) }

func testAutoServesWrappedConns(t *testing.T) {
	needH1(t, "the connections are net/http's, and stay")
	for name, wrap := range wrappers {
		t.Run(name, func(t *testing.T) {
			j := newJournal()
			m := wsmanager.MustNew(recordingCallbacks(j), onDriver(t, optionsWithoutLog()))
			var closed atomic.Int64
			srv := start(t, m, func(srv *httptest.Server) {
				srv.Listener = wrappingListener{srv.Listener, wrap(&closed)}
			})
			c := dialOver(t, srv.URL, nil)
			c.SendText("hello")
			c.ExpectText("hello")
			require.False(t, wsmanager.InLoop(onlyConn(t, m)))
			require.Zero(t, closed.Load())
			c.SendClose(1000, "")
			c.ExpectClose(1000)
			require.Equal(t, []string{"connect", `text "hello"`, "close: <nil>"}, j.await(t, 3))
			require.NoError(t, m.Shutdown(t.Context()))
			require.Positive(t, closed.Load())
			require.Zero(t, m.Stats().Refused)
		})
	}
}

// A Manager may have connections of both drivers.
func TestAutoServesTLSBesidePlainTCP(t *testing.T) {
	onSocketDrivers(t, testAutoServesTLSBesidePlainTCP)
}

func testAutoServesTLSBesidePlainTCP(t *testing.T) {
	j := newJournal()
	m := wsmanager.MustNew(recordingCallbacks(j), onDriver(t, optionsWithoutLog()))
	plain := start(t, m, func(*httptest.Server) {})
	secure := start(t, m, func(srv *httptest.Server) { srv.StartTLS() })
	a := dialOver(t, plain.URL, nil)
	b := dialTLS(t, secure)
	require.Equal(t, http.StatusSwitchingProtocols, b.Response.StatusCode)
	for c := range m.All().Local() {
		if c.TLS() != nil {
			require.False(t, wsmanager.InLoop(c))
		}
	}
	require.Equal(t, wsmanager.Sent{Queued: 2}, m.Broadcast(wsmanager.Text("all")))
	for _, c := range []*wstest.Client{a, b} {
		c.ExpectText("all")
		c.SendText("x")
		c.ExpectText("x")
	}
	done := make(chan error)
	go func() { done <- m.Shutdown(t.Context()) }()
	a.ExpectClose(1001)
	b.ExpectClose(1001)
	require.NoError(t, <-done)
}

func TestDriverOfPlainTCP(t *testing.T) {
	needLoops(t)
	for d, loop := range map[wsmanager.Driver]bool{
		wsmanager.DriverAuto:      true,
		wsmanager.DriverGoroutine: false,
		wsmanager.DriverEventLoop: true,
	} {
		t.Run(d.String(), func(t *testing.T) {
			opts := optionsWithoutLog()
			opts.Driver = d
			m, url := serve(t, wsmanager.Callbacks{}, opts, nil)
			c := dialOver(t, url, nil)
			c.SendPing(nil)
			c.ExpectPong(nil) // the driver has taken the connection over
			require.Equal(t, loop, wsmanager.InLoop(onlyConn(t, m)))
		})
	}
}

// The address is that of the socket, in every callback and after the end.
func TestRemoteAddr(t *testing.T) { onEachDriver(t, testRemoteAddr) }

func testRemoteAddr(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(listen, func(t *testing.T) {
			ln, err := net.Listen("tcp", listen)
			if err != nil {
				t.Skipf("this machine has no such address: %v", err)
			}
			addrs := make(chan net.Addr, 3)
			ended := make(chan *wsmanager.Conn, 1)
			m := wsmanager.MustNew(wsmanager.Callbacks{
				OnConnect: func(c *wsmanager.Conn) error { addrs <- c.RemoteAddr(); return nil },
				OnMessage: func(c *wsmanager.Conn, _ wsmanager.Message) error { addrs <- c.RemoteAddr(); return nil },
				OnClose:   func(c *wsmanager.Conn, _ error) { addrs <- c.RemoteAddr(); ended <- c },
			}, onDriver(t, optionsWithoutLog()))
			srv := start(t, m, func(srv *httptest.Server) {
				require.NoError(t, srv.Listener.Close())
				srv.Listener = ln
			})
			c := dialOver(t, srv.URL, nil)
			want := c.Conn().LocalAddr().(*net.TCPAddr)
			c.SendText("x")
			c.SendClose(1000, "")
			c.ExpectClose(1000)
			for range 3 {
				got := (<-addrs).(*net.TCPAddr)
				require.Equal(t, want.String(), got.String())
				require.Equal(t, want.AddrPort(), got.AddrPort())
				require.True(t, want.IP.Equal(got.IP))
				require.Equal(t, "tcp", got.Network())
			}
			require.NoError(t, m.Shutdown(t.Context()))
			require.Equal(t, want.String(), (<-ended).RemoteAddr().String())
		})
	}
}

// Bytes that arrived with the handshake are the first message. They come before the bytes
// that the loop reads, with OnConnect or without.
func TestEarlyBytesComeFirst(t *testing.T) { onEachDriver(t, testEarlyBytesComeFirst) }

func testEarlyBytesComeFirst(t *testing.T) {
	for name, connect := range map[string]func(*wsmanager.Conn) error{
		"with OnConnect": func(*wsmanager.Conn) error { return nil }, "without": nil,
	} {
		t.Run(name, func(t *testing.T) {
			_, url := serve(t, wsmanager.Callbacks{
				OnConnect: connect,
				OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) },
			}, optionsWithoutLog(), nil)
			whole := wstest.Frame(ws.OpText, true, []byte("one"))
			split := wstest.Frame(ws.OpText, true, []byte("two"))
			c := handshakeOver(t, wstest.Request(t, url), append(whole, split[:4]...))
			require.Equal(t, http.StatusSwitchingProtocols, c.Response.StatusCode)
			c.ExpectText("one")
			c.SendRaw(split[4:]) // the loop continues in the middle of the frame
			c.ExpectText("two")
			c.SendText("three")
			c.ExpectText("three")
		})
	}
}
