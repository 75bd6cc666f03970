package hub_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// BenchmarkCall measures a call and its answer over loopback with a hundred calls in flight. The allocations are those
// of client and server.
func BenchmarkCall(b *testing.B) {
	_, url := serve(b, hub.Methods{"Add": func(a, c int) int { return a + c }}, hub.Options{})
	p := connect(b, url)
	const window = 100
	records := make([]string, window)
	for i := range records {
		records[i] = fmt.Sprintf(`{"target":"Add","arguments":[40,2],"type":1,"invocationId":"%d"}`, i)
	}
	b.ReportAllocs()
	for n := 0; n < b.N; n += window {
		p.send(records...)
		for range window {
			p.record()
		}
	}
}

// BenchmarkParseAndAppend measures the JSON protocol without a connection.
func BenchmarkParseAndAppend(b *testing.B) {
	p := hub.JSON()
	record := []byte(`{"target":"Add","arguments":[40,2],"invocationId":"7","type":1}`)
	b.ReportAllocs()
	var dst []byte
	for b.Loop() {
		m, err := p.Parse(record)
		if err != nil {
			b.Fatal(err)
		}
		if dst, err = p.Append(dst[:0], m); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBroadcast sends to a thousand receivers and waits until each has the messages: through a Manager, and the same
// bytes through hubs without and with stateful reconnect. senders broadcast at the same time.
func BenchmarkBroadcast(b *testing.B) {
	const receivers = 1000
	for _, senders := range []int{1, 8, 64} {
		record := `{"type":1,"target":"said","arguments":["` + string(bytes.Repeat([]byte("x"), 90)) + "\"]}\x1e"
		text := record[len(`{"type":1,"target":"said","arguments":["`) : len(record)-4]
		run := func(b *testing.B, dial func() *wstest.Client, acks bool, send func() error) {
			var got sync.WaitGroup
			for range receivers {
				c := dial()
				b.Cleanup(c.Kill)
				go countRecords(c, acks, got.Done)
			}
			b.ReportAllocs()
			for b.Loop() {
				got.Add(receivers * senders)
				var wg sync.WaitGroup
				for range senders {
					wg.Go(func() {
						if err := send(); err != nil {
							b.Error(err)
						}
					})
				}
				wg.Wait()
				got.Wait()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*receivers*senders), "ns/delivery")
		}
		b.Run(fmt.Sprintf("senders=%d/manager", senders), func(b *testing.B) {
			m := wsmanager.MustNew(wsmanager.Callbacks{}, wsmanager.Options{Logger: slog.New(slog.DiscardHandler)})
			srv := httptest.NewServer(m)
			b.Cleanup(srv.Close)
			run(b, func() *wstest.Client { return wstest.Dial(b, srv.URL, nil) }, false, func() error {
				return m.Broadcast(wsmanager.Text(record)).Err
			})
		})
		for _, stateful := range []bool{false, true} {
			b.Run(fmt.Sprintf("senders=%d/hub/stateful=%v", senders, stateful), func(b *testing.B) {
				h, url := serve(b, hub.Methods{}, hub.Options{StatefulReconnect: stateful})
				run(b, func() *wstest.Client {
					if !stateful {
						return connect(b, url).Client
					}
					k := negotiate(b, url, "negotiateVersion=1&useStatefulReconnect=true")
					p := dial(b, url+"?id="+k.ConnectionToken)
					p.send(`{"protocol":"json","version":2}`)
					p.expect(`{}`)
					return p.Client
				}, stateful, func() error { return h.Clients().All().Send("said", text) })
			})
		}
	}
}

// countRecords reads until the connection ends and calls got for each invocation. It acknowledges each hundredth.
func countRecords(c *wstest.Client, acks bool, got func()) {
	conn := c.Conn()
	buf := make([]byte, 64<<10)
	pattern := []byte(`"said"`)
	carry, n := 0, 0
	for {
		read, err := conn.Read(buf[carry:])
		if err != nil {
			return
		}
		data := buf[:carry+read]
		for {
			i := bytes.Index(data, pattern)
			if i < 0 {
				break
			}
			data = data[i+len(pattern):]
			got()
			if n++; acks && n%100 == 0 {
				ack := fmt.Sprintf("{\"type\":8,\"sequenceId\":%d}\x1e", n)
				_, _ = conn.Write(wstest.Frame(ws.OpText, true, []byte(ack))) // an error ends the next read
			}
		}
		data = data[max(0, len(data)-len(pattern)+1):]
		carry = copy(buf, data)
	}
}
