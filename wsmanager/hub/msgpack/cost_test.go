package msgpack_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/hub/msgpack"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// BenchmarkCalls measures a call of Add(40, 2) and its answer, and for comparison an echo of the same bytes by
// wsmanager: one call at a time, and a hundred in flight. cpu-µs/call is the processor time of the process, including a
// minimal client.
func BenchmarkCalls(b *testing.B) {
	const add = "\x0d\x95\x01\x80\xa2%02d\xa3Add\x92\x28\x02" // by id
	const addJSON = `{"target":"Add","arguments":[40,2],"invocationId":"%02d","type":1}` + "\x1e"
	size := func(record string) int { return len(fmt.Sprintf(record, 0)) }
	for _, way := range []struct {
		name     string
		protocol string // of the hub; "" for the echo
		op       ws.OpCode
		call     string
		answer   int // bytes
	}{
		{"json/echo", "", ws.OpText, addJSON, size(addJSON)},
		{"json/hub", "json", ws.OpText, addJSON, len(`{"type":3,"invocationId":"00","result":42}`) + 1},
		{"messagepack/echo", "", ws.OpBinary, add, size(add)},
		{"messagepack/hub", "messagepack", ws.OpBinary, add, 9},
	} {
		for _, window := range []int{1, 100} {
			b.Run(fmt.Sprintf("%s/window=%d", way.name, window), func(b *testing.B) {
				c := dialCost(b, way.protocol)
				var calls []byte
				for id := range window {
					calls = append(calls, wstest.Frame(way.op, true, fmt.Appendf(nil, way.call, id))...)
				}
				answers := make([]byte, window*(2+way.answer))
				turn := func() {
					_, err := c.conn.Write(calls)
					require.NoError(b, err)
					_, err = io.ReadFull(c.in, answers)
					require.NoError(b, err)
				}
				turn()
				for at := 0; at < len(answers); at += 2 + way.answer {
					require.Equal(b, []byte{0x80 | byte(way.op), byte(way.answer)}, answers[at:at+2], "each answer is one frame")
				}
				b.ReportAllocs()
				began, cpu := time.Now(), cpuTime()
				turns := 0
				for b.Loop() {
					turn()
					turns++
				}
				n := float64(turns * window)
				b.ReportMetric(n/time.Since(began).Seconds(), "calls/s")
				b.ReportMetric((cpuTime()-cpu).Seconds()*1e6/n, "cpu-µs/call")
			})
		}
	}
}

// costClient is a socket after its handshakes.
type costClient struct {
	conn net.Conn
	in   *bufio.Reader
}

// dialCost connects to a hub, or without a protocol to an echo.
func dialCost(b *testing.B, protocol string) costClient {
	quiet := slog.New(slog.DiscardHandler)
	var h http.Handler
	if protocol == "" {
		h = wsmanager.MustNew(wsmanager.Callbacks{
			OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) },
		}, wsmanager.Options{Logger: quiet})
	} else {
		h = hub.MustNew(hub.Methods{"Add": func(a, c int) int { return a + c }}, hub.Options{
			Logger:    quiet,
			Protocols: []hub.Protocol{hub.JSON(), msgpack.New(msgpack.Options{})},
		})
	}
	srv := httptest.NewServer(h)
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	require.NoError(b, err)
	b.Cleanup(func() {
		_ = conn.Close()
		_ = h.(interface {
			Shutdown(ctx context.Context) error
		}).Shutdown(b.Context()) // the context has ended: Shutdown cuts the remaining connections
		srv.Close()
	})
	_, err = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	require.NoError(b, err)
	c := costClient{conn, bufio.NewReader(conn)}
	res, err := http.ReadResponse(c.in, nil)
	require.NoError(b, err)
	require.Equal(b, http.StatusSwitchingProtocols, res.StatusCode)
	if protocol != "" {
		_, err = conn.Write(wstest.Frame(ws.OpText, true, fmt.Appendf(nil, "{\"protocol\":%q,\"version\":1}\x1e", protocol)))
		require.NoError(b, err)
		answer := make([]byte, 2+3)
		_, err = io.ReadFull(c.in, answer)
		require.NoError(b, err)
		require.Equal(b, "{}\x1e", string(answer[2:]))
	}
	return c
}
