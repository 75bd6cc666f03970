package wsmanager_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// A test of what a connection does runs once for each driver, as a subtest with the
// driver's name, so that -run '/h2' selects one:
//
//	func TestX(t *testing.T) { onEachDriver(t, testX) }
//
//	func testX(t *testing.T) {
//		_, url := serve(t, wsmanager.Callbacks{}, quiet(), nil)
//		c := dialOver(t, url, nil)
//
// The functions of this file, serve and start find the driver in the name of t. A
// test without a driver in its name runs with DriverAuto, over HTTP/1.1.
type driverUnderTest string

const (
	onAuto      driverUnderTest = "auto"      // the event loop, where there is one
	onGoroutine driverUnderTest = "goroutine" // a goroutine for each connection
	onH2        driverUnderTest = "h2"        // streams of HTTP/2
)

// onEachDriver runs a test of servers on each driver.
func onEachDriver(t *testing.T, test func(*testing.T)) {
	t.Helper()
	onDrivers(t, test, onAuto, onGoroutine, onH2)
}

// onEachDriverAtOnce is onEachDriver for a test that waits most of its time, and counts
// nothing of the process's.
func onEachDriverAtOnce(t *testing.T, test func(*testing.T)) {
	t.Helper()
	onEachDriver(t, atOnce(test))
}

func atOnce(test func(*testing.T)) func(*testing.T) {
	return func(t *testing.T) {
		t.Parallel()
		test(t)
	}
}

// onSocketDrivers runs a test on the drivers of sockets: one of our clients, or one
// that brings a socket, a proxy or TLS of its own. They all speak HTTP/1.1.
func onSocketDrivers(t *testing.T, test func(*testing.T)) {
	t.Helper()
	onDrivers(t, test, onAuto, onGoroutine)
}

// onStreams runs a test that brings its own HTTP/2.
func onStreams(t *testing.T, test func(*testing.T)) {
	t.Helper()
	onDrivers(t, test, onH2)
}

func onDrivers(t *testing.T, test func(*testing.T), drivers ...driverUnderTest) {
	t.Helper()
	for _, d := range drivers {
		t.Run(string(d), test)
	}
}

// driverOf is the driver that a test runs on.
func driverOf(t testing.TB) driverUnderTest {
	parts := strings.SplitN(t.Name(), "/", 3)
	if len(parts) > 1 {
		switch d := driverUnderTest(parts[1]); d {
		case onGoroutine, onH2:
			return d
		}
	}
	return onAuto
}

// usesLoops reports whether a plain TCP connection of the test is in an event loop.
func usesLoops(t testing.TB) bool { return driverOf(t) == onAuto && wsmanager.HasLoops() }

// needH1 skips a test of what is there over HTTP/1.1 only, and says why.
func needH1(t testing.TB, why string) {
	t.Helper()
	if driverOf(t) == onH2 {
		t.Skip("not over HTTP/2: " + why)
	}
}

// on is opts with the driver that the test runs on, unless they name one.
func on(t testing.TB, opts wsmanager.Options) wsmanager.Options {
	if driverOf(t) == onGoroutine && opts.Driver == wsmanager.DriverAuto {
		opts.Driver = wsmanager.DriverGoroutine
	}
	return opts
}

// speaks makes a server understand what the test's clients speak, and nothing else: a
// client that does not go by dialOver fails.
func speaks(t testing.TB, srv *httptest.Server) {
	wsmanager.SpeakH2(srv.Config)
	srv.Config.Protocols.SetHTTP1(driverOf(t) != onH2)
}

// dialOver is wstest.Dial over what the test's driver serves.
func dialOver(t testing.TB, url string, header http.Header) *wstest.Client {
	t.Helper()
	req := wstest.Request(t, url)
	for name, values := range header {
		req.Header[name] = values
	}
	c := handshakeOver(t, req, nil)
	require.Equal(t, http.StatusSwitchingProtocols, c.Response.StatusCode)
	require.Equal(t, wstest.Accept, c.Response.Header.Get("Sec-WebSocket-Accept"))
	return c
}

// handshakeOver is wstest.Handshake over what the test's driver serves.
func handshakeOver(t testing.TB, req *http.Request, early []byte) *wstest.Client {
	t.Helper()
	return wstest.HandshakeOn(t, connectOver(t, req.URL.Host), req, early)
}

// roundTripOver sends a request of which the test does not know that it is answered.
// The response has no body that could be read.
func roundTripOver(t testing.TB, req *http.Request) (*http.Response, error) {
	t.Helper()
	conn := connectOver(t, req.URL.Host)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(wstest.Patience)))
	require.NoError(t, req.Write(conn))
	return http.ReadResponse(bufio.NewReader(conn), req)
}

func connectOver(t testing.TB, address string) (conn net.Conn) {
	t.Helper()
	var err error
	if driverOf(t) == onH2 {
		conn, err = dialStream(address, wstest.Patience)
	} else {
		conn, err = net.DialTimeout("tcp", address, wstest.Patience)
	}
	require.NoError(t, err)
	return conn
}

// clientDriver is what DriverAuto means for a client of the test. Dial and NewClient
// take a goroutine; with onAuto they do as a Dialer does, and take the event loop
// where it can serve.
func clientDriver(t testing.TB) wsmanager.Driver {
	if driverOf(t) == onGoroutine {
		return wsmanager.DriverGoroutine
	}
	return wsmanager.DriverAuto
}

// dialAs is wsmanager.Dial on the test's driver.
func dialAs(ctx context.Context, t testing.TB, url string, cb wsmanager.Callbacks, opts wsmanager.DialOptions) (*wsmanager.Conn, error) {
	return wsmanager.DialAs(ctx, clientDriver(t), url, cb, opts)
}

// newClientAs is wsmanager.NewClient on the test's driver.
func newClientAs(t testing.TB, url string, cb wsmanager.Callbacks, opts wsmanager.ClientOptions) (*wsmanager.Client, error) {
	return wsmanager.NewClientAs(clientDriver(t), url, cb, opts)
}
