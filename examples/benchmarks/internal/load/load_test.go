//go:build linux

package load_test

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/load"
	"github.com/speakingtube/speakingtube/wsmanager"
)

// serve serves h at any path. It pretends that a millisecond of processor time and 3,000
// bytes of memory are used between two readings.
func serve(t *testing.T, h http.Handler) load.Server {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	var cpu, rss int64
	return load.Server{
		Addr: srv.Listener.Addr().String(),
		CPU:  func() time.Duration { cpu++; return time.Duration(cpu) * time.Millisecond },
		RSS:  func() int64 { rss += 3000; return rss },
	}
}

func manager(t *testing.T, onMessage func(*wsmanager.Conn, wsmanager.Message) error) *wsmanager.Manager {
	t.Helper()
	m := wsmanager.MustNew(wsmanager.Callbacks{OnMessage: onMessage}, wsmanager.Options{Timeouts: wsmanager.Timeouts{PingInterval: 10 * time.Millisecond}, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { _ = m.Shutdown(t.Context()) }) // the context has ended: connections are cut
	return m
}

func TestIdle(t *testing.T) {
	bytes, opening, err := load.Idle(serve(t, manager(t, nil)), 30, 50*time.Millisecond)
	require.NoError(t, err)
	require.InDelta(t, 100, bytes, 0)
	require.Equal(t, time.Millisecond/20, opening)
}

func TestEcho(t *testing.T) {
	m := manager(t, func(c *wsmanager.Conn, msg wsmanager.Message) error { return c.Send(msg) })
	for _, size := range []int{8, 125, 126, 70000} {
		work, err := load.Echo(serve(t, m), 5, size, 0, 50*time.Millisecond)
		if size > 65536 { // above the limit of the Manager
			require.ErrorContains(t, err, "connection")
			continue
		}
		require.NoError(t, err)
		require.NotZero(t, work.Messages)
		require.GreaterOrEqual(t, work.Time, 50*time.Millisecond)
		require.Equal(t, time.Millisecond, work.CPU)
	}
}

func TestBroadcast(t *testing.T) {
	m := manager(t, func(c *wsmanager.Conn, msg wsmanager.Message) error { c.Manager().Broadcast(msg); return nil })
	for _, inFlight := range []int{1, 8} {
		work, err := load.Broadcast(serve(t, m), 20, 128, inFlight, 3, 40)
		require.NoError(t, err)
		require.EqualValues(t, 20*40, work.Messages)
		require.Positive(t, work.Time)
	}
}

// A faulty server fails the measurement.
func TestWrongServers(t *testing.T) {
	twice := func(c *wsmanager.Conn, msg wsmanager.Message) error {
		_ = c.Send(msg)
		return c.Send(msg)
	}
	for name, tt := range map[string]struct {
		server http.Handler
		want   string
	}{
		"refuses":      {http.NotFoundHandler(), `the handshake was answered with "HTTP/1.1 404 Not Found`},
		"echoes twice": {manager(t, twice), "message 0, want 1"},
		"other bytes":  {manager(t, func(c *wsmanager.Conn, msg wsmanager.Message) error { msg.Payload[20]++; return c.Send(msg) }), "message 0 has other bytes"},
		"other lengths": {manager(t, func(c *wsmanager.Conn, msg wsmanager.Message) error {
			msg.Payload = msg.Payload[1:]
			return c.Send(msg)
		}), "a message of 127 bytes, want 128"},
		"text":      {manager(t, func(c *wsmanager.Conn, msg wsmanager.Message) error { return c.Send(wsmanager.Text("hello")) }), "a frame with opcode 0x1"},
		"closes":    {manager(t, func(c *wsmanager.Conn, _ wsmanager.Message) error { return c.Close(4000, "") }), "a frame with opcode 0x8"},
		"ends":      {rawHandler(func(net.Conn) {}), "the server has closed the connection"},
		"masks":     {rawHandler(func(c net.Conn) { _, _ = c.Write(ws.MustCompileFrame(ws.MaskFrame(ws.NewBinaryFrame(nil)))) }), "a frame that is masked"},
		"fragments": {rawHandler(func(c net.Conn) { _, _ = c.Write(ws.MustCompileFrame(ws.NewFrame(ws.OpBinary, false, nil))) }), "fragmented"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load.Echo(serve(t, tt.server), 1, 128, 0, time.Minute)
			require.ErrorContains(t, err, tt.want)
		})
	}
	_, err := load.Broadcast(serve(t, manager(t, twice)), 3, 128, 1, 0, 1)
	require.ErrorContains(t, err, "message 0, want 1")
	_, err = load.Echo(load.Server{Addr: "nowhere"}, 1, 128, 0, 0)
	require.Error(t, err)
	_, err = load.Echo(load.Server{}, 0, 128, 0, 0)
	require.Error(t, err)
	_, err = load.Broadcast(load.Server{}, 1, 2, 1, 0, 0)
	require.Error(t, err)
}

// rawHandler upgrades, reads a message, calls f and ends the connection.
func rawHandler(f func(net.Conn)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			return
		}
		defer conn.Close()
		_, _, _ = wsutil.ReadClientData(conn) // only the answer matters
		f(conn)
		_ = conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, conn)
	})
}

func TestPathAndKey(t *testing.T) {
	asked := make(chan string, 1)
	_, err := load.Echo(serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.URL.Path + " " + r.Header.Get("Sec-WebSocket-Key")
		http.Error(w, strings.Repeat("no ", 1000), http.StatusTeapot)
	})), 1, 128, 0, 0)
	require.ErrorContains(t, err, "418")
	require.Equal(t, "GET /echo dGhlIHNhbXBsZSBub25jZQ==", <-asked)
}
