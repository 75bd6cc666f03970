package wsmanager_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// The client runs in the same process. These benchmarks compare versions of this package,
// not this package with others.

// benchServe serves m until the benchmark ends, over TLS if overTLS is set.
func benchServe(b *testing.B, m *wsmanager.Manager, overTLS bool) (dial func() net.Conn) {
	b.Helper()
	srv := httptest.NewUnstartedServer(m)
	if overTLS {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	b.Cleanup(func() {
		_ = m.Shutdown(b.Context()) // the context has ended, so Shutdown cuts the connections
		srv.Close()
	})
	return func() net.Conn {
		if !overTLS {
			return wstest.Dial(b, srv.URL, nil).Conn()
		}
		pool := srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		conn, err := tls.Dial("tcp", srv.Listener.Addr().String(), &tls.Config{RootCAs: pool, ServerName: "example.com"})
		if err != nil {
			b.Fatal(err)
		}
		return wstest.HandshakeOn(b, conn, wstest.Request(b, srv.URL), nil).Conn()
	}
}

// echo sends a message and reads it back. It does not allocate.
func echo(c net.Conn, frame, buf []byte) {
	if _, err := c.Write(frame); err != nil {
		panic(err)
	}
	if _, err := io.ReadFull(c, buf); err != nil {
		panic(err)
	}
}

var echoing = wsmanager.Callbacks{
	OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) },
}

func BenchmarkEcho(b *testing.B) {
	for _, overTLS := range []bool{false, true} {
		b.Run(fmt.Sprintf("tls=%v", overTLS), func(b *testing.B) {
			c := benchServe(b, wsmanager.MustNew(echoing, optionsWithoutLog()), overTLS)()
			frame := wstest.Frame(ws.OpText, true, []byte(repeat("x", 128)))
			buf := make([]byte, 2+2+128)
			b.ReportAllocs()
			for b.Loop() {
				echo(c, frame, buf)
			}
		})
	}
}

// Echoes of messages that need several reads and writes.
func BenchmarkBigEcho(b *testing.B) {
	for _, size := range []int{64 << 10, 1 << 20, 16 << 20} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			opts := optionsWithoutLog()
			opts.Limits.MaxMessageSize, opts.Outbox.Bytes = size, size+10
			c := benchServe(b, wsmanager.MustNew(echoing, opts), false)()
			frame := wstest.Frame(ws.OpBinary, true, make([]byte, size))
			buf := make([]byte, size+10)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				echo(c, frame, buf)
			}
		})
	}
}

// An iteration sends one message to all receivers and waits until each has it.
func BenchmarkBroadcast(b *testing.B) {
	for _, receivers := range []int{10, 1000} {
		for _, senders := range []int{1, 8} {
			b.Run(fmt.Sprintf("receivers=%d/senders=%d", receivers, senders), func(b *testing.B) {
				m := wsmanager.MustNew(wsmanager.Callbacks{}, optionsWithoutLog())
				dial := benchServe(b, m, false)
				const size = 2 + 2 + 128
				var got sync.WaitGroup
				for range receivers {
					c := dial()
					go func() {
						buf := make([]byte, 64*size)
						for have := 0; ; {
							n, err := c.Read(buf)
							if err != nil {
								return
							}
							for have += n; have >= size; have -= size {
								got.Done()
							}
						}
					}()
				}
				msg := wsmanager.Text(repeat("x", 128))
				b.ReportAllocs()
				for b.Loop() { // each sender sends one message in an iteration
					got.Add(receivers * senders)
					var wg sync.WaitGroup
					for range senders {
						wg.Go(func() { m.Broadcast(msg) })
					}
					wg.Wait()
					got.Wait()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*receivers*senders), "ns/delivery")
			})
		}
	}
}

// Broadcasts 2 KB of JSON to 1,000 receivers, compressed and plain. The time includes the
// clients, which discard what they read.
func BenchmarkCompressedBroadcast(b *testing.B) {
	const receivers = 1000
	for _, level := range []int{0, 1, -2, 6, 9} {
		name, opts := "plain", optionsWithoutLog()
		if level != 0 {
			name, opts.Compression = fmt.Sprintf("level=%d", level), wsmanager.Compression{Enabled: true, Level: level}
		}
		b.Run(name, func(b *testing.B) {
			m := wsmanager.MustNew(wsmanager.Callbacks{}, opts)
			srv := httptest.NewServer(m)
			defer srv.Close()
			defer func() { _ = m.Shutdown(b.Context()) }() // Shutdown may cut a client
			var got atomic.Int64
			arrived := make(chan struct{}, 1)
			for range receivers {
				c := wstest.Dial(b, srv.URL, offering).Conn()
				go func() {
					buf := make([]byte, 8<<10)
					for {
						n, err := c.Read(buf)
						if err != nil {
							return
						}
						if left := got.Add(-int64(n)); left == 0 {
							arrived <- struct{}{}
						}
					}
				}()
			}
			msg := wsmanager.Message{Type: wsmanager.TextMessage, Payload: jsonText(2048)}
			out := func() int64 { return int64(m.Stats().BytesOut) }
			size := int64(2 + 2 + len(msg.Payload))
			if level != 0 {
				size = int64(2 + 2 + len(deflate(b, msg.Payload, level)))
			}
			before, cpu := out(), cpuTime()
			b.ReportAllocs()
			for b.Loop() {
				got.Add(receivers * size)
				m.Broadcast(msg)
				<-arrived
			}
			deliveries := float64(b.N * receivers)
			b.ReportMetric(float64(cpuTime()-cpu)/deliveries, "cpu-ns/delivery")
			b.ReportMetric(float64(out()-before)/deliveries, "wire-B/delivery")
		})
	}
}

// Measures the cost of one message without a network.
func BenchmarkCompressedSend(b *testing.B) {
	for _, size := range []int{512, 2 << 10, 16 << 10} {
		for _, level := range []int{-2, 1, 2, 6, 9} {
			b.Run(fmt.Sprintf("size=%d/level=%d", size, level), func(b *testing.B) {
				opts := optionsWithoutLog()
				opts.Compression = wsmanager.Compression{Enabled: true, Level: level}
				m := wsmanager.MustNew(wsmanager.Callbacks{}, opts)
				srv := httptest.NewServer(m)
				defer srv.Close()
				defer func() { _ = m.Shutdown(b.Context()) }() // the client has ended
				c := wstest.Dial(b, srv.URL, offering).Conn()
				defer c.Close() // otherwise Shutdown would wait for the client's close frame
				go func() { _, _ = io.Copy(io.Discard, c) }()
				var conn *wsmanager.Conn
				for conn = range m.All().Local() {
				}
				msg := wsmanager.Message{Type: wsmanager.TextMessage, Payload: jsonText(size)}
				b.ReportAllocs()
				for b.Loop() {
					if err := conn.SendContext(b.Context(), msg); err != nil {
						b.Fatal(err)
					}
				}
				s := m.Stats()
				b.ReportMetric(float64(s.BytesOut)/float64(s.MessagesOut), "wire-B/op")
			})
		}
	}
}

func BenchmarkConnect(b *testing.B) {
	dial := benchServe(b, wsmanager.MustNew(echoing, optionsWithoutLog()), false)
	b.ReportAllocs()
	for b.Loop() {
		c := dial()
		_, _ = c.Write(wstest.Frame(ws.OpClose, true, nil)) // the following read reports an error
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}
}
