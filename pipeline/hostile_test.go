package pipeline_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// memoryServer is a WebSocket endpoint under [pipeline.Serve], in memory and inside a
// bubble, so that minutes of timeouts take no time.
type memoryServer struct {
	ln      *wstest.Listener
	m       *wsmanager.Manager
	reached atomic.Int64 // requests that reached the pipeline

	mu     sync.Mutex
	states map[http.ConnState]int // counted as a service would, with http.Server.ConnState
}

// withMemoryServer serves until f returns, and requires a graceful end without leftovers.
func withMemoryServer(t *testing.T, f func(t *testing.T, b *memoryServer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		quiet := slog.New(slog.DiscardHandler)
		b := &memoryServer{
			ln: wstest.Listen(0), states: map[http.ConnState]int{},
			m: wsmanager.MustNew(wsmanager.Callbacks{
				OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) },
			}, wsmanager.Options{Logger: quiet}),
		}
		app := pipeline.New()
		app.UseFunc(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			b.reached.Add(1)
			next.ServeHTTP(w, r)
		})
		app.Mount("/ws", b.m)
		srv := &http.Server{
			Handler:  app.MustBuild(),
			ErrorLog: slog.NewLogLogger(quiet.Handler(), slog.LevelError),
			ConnState: func(_ net.Conn, s http.ConnState) {
				b.mu.Lock()
				defer b.mu.Unlock()
				b.states[s]++
			},
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- pipeline.ServeListener(ctx, b.ln, srv, b.m.Shutdown) }()
		f(t, b)
		cancel()
		require.NoError(t, <-done)
		require.Zero(t, b.m.All().Len())
	})
}

func (b *memoryServer) state(s http.ConnState) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.states[s]
}

func (b *memoryServer) dial(t *testing.T) *wstest.PipeConn {
	t.Helper()
	conn, err := b.ln.Dial()
	require.NoError(t, err)
	return conn
}

// echo checks that a well-behaved client is served.
func (b *memoryServer) echo(t *testing.T) {
	t.Helper()
	conn := b.dial(t)
	c := wstest.HandshakeOn(t, conn, wstest.Request(t, "/ws"), nil)
	require.Equal(t, http.StatusSwitchingProtocols, c.Response.StatusCode)
	c.SendText("hello")
	c.ExpectText("hello")
	c.SendClose(1000, "")
	c.ExpectClose(1000)
}

const handshake = "GET /ws HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// Thousands of clients begin a handshake and never finish it. Each connection is closed
// after ReadHeaderTimeout, five seconds, however much it has sent and however steadily;
// none reaches the pipeline, and other clients are served meanwhile.
func TestHalfOpenUpgrades(t *testing.T) {
	const n = 2000
	for name, send := range map[string]func(net.Conn){
		"nothing at all":        func(net.Conn) {},
		"all but the last line": func(c net.Conn) { _, _ = io.WriteString(c, handshake) },
		"a byte each second": func(c net.Conn) {
			for _, b := range []byte(handshake + strings.Repeat("X: y\r\n", 1000)) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		},
		"a header each second": func(c net.Conn) {
			_, err := io.WriteString(c, handshake)
			for i := 0; err == nil; i++ {
				time.Sleep(time.Second)
				_, err = fmt.Fprintf(c, "X-%d: y\r\n", i)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			withMemoryServer(t, func(t *testing.T, b *memoryServer) {
				began := time.Now()
				var wg sync.WaitGroup
				for range n {
					conn := b.dial(t)
					wg.Go(func() { send(conn) })
					wg.Go(func() {
						_, _ = io.Copy(io.Discard, conn) // until the connection is closed
						_ = conn.Close()
					})
				}
				synctest.Wait()
				require.Equal(t, n, b.state(http.StateNew))
				b.echo(t)
				require.EqualValues(t, 1, b.reached.Load())
				wg.Wait()
				require.InDelta(t, 5, time.Since(began).Seconds(), 1.5)
				synctest.Wait()
				require.Equal(t, n, b.state(http.StateClosed), "http.Server.ConnState reports them")
				require.EqualValues(t, 1, b.reached.Load())
				b.echo(t)
			})
		})
	}
}

// Headers are accepted up to MaxHeaderBytes, 64 KiB (and the 4 KiB that net/http adds),
// however they are split; above that the answer is 431 and the connection ends.
func TestHeaderFlood(t *testing.T) {
	for name, part := range map[string]string{
		"many small headers":     "A: b\r\n",
		"the same over and over": "Sec-WebSocket-Protocol: " + strings.Repeat("chat,", 100) + "\r\n",
		"one without end":        strings.Repeat("x", 1000),
		"a long target":          "",
	} {
		t.Run(name, func(t *testing.T) {
			withMemoryServer(t, func(t *testing.T, b *memoryServer) {
				conn := b.dial(t)
				defer func() { _ = conn.Close() }()
				sent := make(chan int, 1)
				go func() {
					begin := handshake
					if part == "" {
						begin, part = "GET /", "x"
					}
					total, err := io.WriteString(conn, begin)
					for err == nil && total < 10<<20 {
						var n int
						n, err = io.WriteString(conn, part)
						total += n
					}
					sent <- total
				}()
				answer, err := io.ReadAll(conn)
				if err != nil {
					var reset *net.OpError
					require.ErrorAs(t, err, &reset)
				}
				require.Regexp(t, "^HTTP/1.1 431 ", string(answer))
				_ = conn.Close()
				require.Less(t, <-sent, (64+4+4+8)<<10, "with the buffers on the way")
				require.Zero(t, b.reached.Load())
				b.echo(t)
			})
		})
	}
}

// Connections that were served and send no more are closed after IdleTimeout, two minutes.
func TestIdleHTTPConnections(t *testing.T) {
	const n = 500
	withMemoryServer(t, func(t *testing.T, b *memoryServer) {
		var wg sync.WaitGroup
		var early atomic.Int64
		for range n {
			conn := b.dial(t)
			wg.Go(func() {
				_, _ = io.WriteString(conn, "GET /nothing HTTP/1.1\r\nHost: example.com\r\n\r\n")
				began := time.Now()
				_, _ = io.Copy(io.Discard, conn)
				_ = conn.Close()
				if took := time.Since(began); took < 119*time.Second || took > 122*time.Second {
					early.Add(1)
				}
			})
		}
		wg.Wait()
		require.Zero(t, early.Load())
		require.EqualValues(t, n, b.reached.Load())
	})
}

// Clients that vanish before, during or after the answer leave nothing behind.
func TestClientsThatVanish(t *testing.T) {
	const n = 300
	for name, vanish := range map[string]func(*wstest.PipeConn){
		"at once":              func(c *wstest.PipeConn) { c.Reset() },
		"within the handshake": func(c *wstest.PipeConn) { _, _ = io.WriteString(c, handshake[:50]); c.Reset() },
		"before the answer":    func(c *wstest.PipeConn) { _, _ = io.WriteString(c, handshake+"\r\n"); c.Reset() },
		"after the answer": func(c *wstest.PipeConn) {
			_, _ = io.WriteString(c, handshake+"\r\n")
			_, _ = c.Read(make([]byte, 1))
			c.Reset()
		},
		"in the middle of a frame": func(c *wstest.PipeConn) {
			_, _ = io.WriteString(c, handshake+"\r\n\x81\xfe\x01")
			_, _ = c.Read(make([]byte, 1))
			_ = c.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			withMemoryServer(t, func(t *testing.T, b *memoryServer) {
				for range n {
					vanish(b.dial(t))
				}
				synctest.Wait()
				require.Zero(t, b.m.All().Len())
				stats := b.m.Stats()
				closed := uint64(0)
				for _, n := range stats.Closed {
					closed += n
				}
				require.Equal(t, stats.Accepted, closed, "each that was accepted has ended")
				b.echo(t)
			})
		})
	}
}
