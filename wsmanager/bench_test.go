package wsmanager_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// The client is in the same process, so these compare changes to the package, not
// the package with others.

// benchServe serves m until the benchmark ends, over TLS if overTLS.
func benchServe(b *testing.B, m *wsmanager.Manager, overTLS bool) (dial func() net.Conn) {
	b.Helper()
	srv := httptest.NewUnstartedServer(m)
	if overTLS {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	b.Cleanup(func() {
		_ = m.Shutdown(b.Context()) // the context is over: cut
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

// echo sends a message and reads it back, without allocating.
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
			c := benchServe(b, wsmanager.MustNew(echoing, quiet()), overTLS)()
			frame := wstest.Frame(ws.OpText, true, []byte(repeat("x", 128)))
			buf := make([]byte, 2+2+128)
			b.ReportAllocs()
			for b.Loop() {
				echo(c, frame, buf)
			}
		})
	}
}

// A message goes to all, and is waited for at each.
func BenchmarkBroadcast(b *testing.B) {
	for _, receivers := range []int{10, 1000} {
		for _, senders := range []int{1, 8} {
			b.Run(fmt.Sprintf("receivers=%d/senders=%d", receivers, senders), func(b *testing.B) {
				m := wsmanager.MustNew(wsmanager.Callbacks{}, quiet())
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
				for b.Loop() { // an op is a message of each sender
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

func BenchmarkConnect(b *testing.B) {
	dial := benchServe(b, wsmanager.MustNew(echoing, quiet()), false)
	b.ReportAllocs()
	for b.Loop() {
		c := dial()
		_, _ = c.Write(wstest.Frame(ws.OpClose, true, nil)) // the read tells
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}
}
