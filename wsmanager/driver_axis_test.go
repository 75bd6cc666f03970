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

// A test of a connection's behaviour runs once for each driver, as a subtest with the
// driver's name, so that -run '/h2' selects one:
//
//	func TestX(t *testing.T) { onEachDriver(t, testX) }
//
//	func testX(t *testing.T) {
//		_, url := serve(t, wsmanager.Callbacks{}, optionsWithoutLog(), nil)
//		c := dialOver(t, url, nil)
//
// The functions of this file, serve and start find the driver in the name of t. A test
// without a driver in its name runs with DriverAuto, over HTTP/1.1.
type driverUnderTest string

const (
	onAuto      driverUnderTest = "auto"      // the event loop, if the system has one
	onGoroutine driverUnderTest = "goroutine" // a goroutine for each connection
	onH2        driverUnderTest = "h2"        // HTTP/2 streams
)

// onEachDriver runs a test of servers on each driver.
func onEachDriver(t *testing.T, test func(*testing.T)) {
	t.Helper()
	onDrivers(t, test, onAuto, onGoroutine, onH2)
}

// onEachDriverAtOnce is onEachDriver for a test that does not count resources of the process.
// It runs beside the other parallel tests, and so do its subtests.
func onEachDriverAtOnce(t *testing.T, test func(*testing.T)) {
	t.Helper()
	besideOthers(t)
	onEachDriver(t, inParallel(test))
}

// besideOthers makes a test parallel. The race detector makes tests bound by the processors
// so slow that others would miss their time limits: with it, only subtests are parallel.
func besideOthers(t *testing.T) {
	if !underRace {
		t.Parallel()
	}
}

func inParallel(test func(*testing.T)) func(*testing.T) {
	return func(t *testing.T) {
		t.Parallel()
		test(t)
	}
}

// onSocketDrivers runs a test on the drivers of sockets. It is for tests of clients and for
// tests that make their own socket, proxy or TLS connection. They all use HTTP/1.1.
func onSocketDrivers(t *testing.T, test func(*testing.T)) {
	t.Helper()
	onDrivers(t, test, onAuto, onGoroutine)
}

// onSocketDriversAtOnce is to onSocketDrivers what onEachDriverAtOnce is to onEachDriver.
func onSocketDriversAtOnce(t *testing.T, test func(*testing.T)) {
	t.Helper()
	besideOthers(t)
	onSocketDrivers(t, inParallel(test))
}

// onStreams runs a test that sets up HTTP/2 itself.
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

// driverOf returns the driver that a test runs on.
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

// needH1 skips a test of a feature that only HTTP/1.1 has. why is the reason.
func needH1(t testing.TB, why string) {
	t.Helper()
	if driverOf(t) == onH2 {
		t.Skip("not over HTTP/2: " + why)
	}
}

// onDriver returns opts with the driver that the test runs on, unless they name a driver.
func onDriver(t testing.TB, opts wsmanager.Options) wsmanager.Options {
	if driverOf(t) == onGoroutine && opts.Driver == wsmanager.DriverAuto {
		opts.Driver = wsmanager.DriverGoroutine
	}
	return opts
}

// serveDriverProtocol configures a server for the protocol of the test's driver only: a client that does
// not use dialOver fails.
func serveDriverProtocol(t testing.TB, srv *httptest.Server) {
	wsmanager.SpeakH2(srv.Config)
	srv.Config.Protocols.SetHTTP1(driverOf(t) != onH2)
}

// dialOver is wstest.Dial with the protocol of the test's driver.
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

// handshakeOver is wstest.Handshake with the protocol of the test's driver.
func handshakeOver(t testing.TB, req *http.Request, early []byte) *wstest.Client {
	t.Helper()
	return wstest.HandshakeOn(t, connectOver(t, req.URL.Host), req, early)
}

// roundTripOver sends a request that might not be answered. The body of the response can't
// be read.
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

// clientDriver returns the meaning of DriverAuto for a client of the test. Dial and
// NewClient use a goroutine. With onAuto the test uses the choice of a Dialer instead: the
// event loop where possible.
func clientDriver(t testing.TB) wsmanager.Driver {
	if driverOf(t) == onGoroutine {
		return wsmanager.DriverGoroutine
	}
	return wsmanager.DriverAuto
}

// dialAs is wsmanager.Dial with the test's driver.
func dialAs(ctx context.Context, t testing.TB, url string, cb wsmanager.Callbacks, opts wsmanager.DialOptions) (*wsmanager.Conn, error) {
	return wsmanager.DialAs(ctx, clientDriver(t), url, cb, opts)
}

// newClientAs is wsmanager.NewClient with the test's driver.
func newClientAs(t testing.TB, url string, cb wsmanager.Callbacks, opts wsmanager.ClientOptions) (*wsmanager.Client, error) {
	return wsmanager.NewClientAs(clientDriver(t), url, cb, opts)
}
