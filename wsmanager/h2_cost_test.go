package wsmanager_test

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// An idle WebSocket over HTTP/2 needs one goroutine, its handler. HTTP/2 adds a constant
// number for each connection.
func TestCostOfIdleStreams(t *testing.T) { onStreams(t, testCostOfIdleStreams) }

func testCostOfIdleStreams(t *testing.T) {
	const connections, each = 4, 200
	m, url := serve(t, echoing, optionsWithoutLog(), nil)
	var clients []*rawH2
	for range connections {
		clients = append(clients, dialRaw(t, url))
	}
	used := func() uint64 {
		runtime.GC()
		debug.FreeOSMemory()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc + s.StackInuse
	}
	// Everything that is allocated once has to exist before the measurement.
	for _, c := range clients {
		id := c.open()
		c.text(id, "x")
		c.expectText(id, "x")
	}
	awaitCondition(t, func() bool { return m.All().Len() == connections })
	goroutines, memory := runtime.NumGoroutine(), used()
	for _, c := range clients {
		for range each - 1 {
			id := c.open()
			c.text(id, "x")
			c.expectText(id, "x")
		}
	}
	const n = connections * (each - 1)
	awaitCondition(t, func() bool { return runtime.NumGoroutine() <= goroutines+n })
	require.Equal(t, connections*each, m.All().Len())
	per := (int64(used()) - int64(memory)) / n
	t.Logf("%d bytes each", per)
	require.Less(t, per, int64(24<<10))
}

// echoPath sends a frame to the echo server and reads the echo.
type echoPath func(frame, buf []byte)

// streamPath opens a stream and reads and writes HTTP/2 frames with minimal client work. The
// windows have their maximum size and are never updated.
func streamPath(b *testing.B, conn net.Conn) echoPath {
	c := rawOn(b, conn, http2.Setting{ID: http2.SettingInitialWindowSize, Val: math.MaxInt32})
	require.NoError(b, c.fr.WriteWindowUpdate(0, math.MaxInt32-65535))
	id := c.open()
	require.NoError(b, conn.SetDeadline(time.Time{}))
	br := bufio.NewReader(conn)
	var out []byte
	return func(frame, buf []byte) {
		out = append(out[:0], 0, byte(len(frame)>>8), byte(len(frame)), byte(http2.FrameData), 0)
		out = binary.BigEndian.AppendUint32(out, id)
		out = append(out, frame...)
		if _, err := c.conn.Write(out); err != nil {
			panic(err)
		}
		for {
			var head [9]byte
			if _, err := io.ReadFull(br, head[:]); err != nil {
				panic(err)
			}
			size := int(head[1])<<8 | int(head[2])
			if http2.FrameType(head[3]) != http2.FrameData {
				_, _ = br.Discard(size)
				continue
			}
			if _, err := io.ReadFull(br, buf[:size]); err != nil {
				panic(err)
			}
			return
		}
	}
}

// BenchmarkEchoByProtocol echoes 128 bytes, one message at a time. cpu-µs/op is the CPU time
// of the whole process, including the minimal client.
func BenchmarkEchoByProtocol(b *testing.B) {
	for _, way := range []struct {
		name       string
		driver     wsmanager.Driver
		h2, secure bool
	}{
		{"http1/eventloop", wsmanager.DriverAuto, false, false},
		{"http1/goroutine", wsmanager.DriverGoroutine, false, false},
		{"http2", wsmanager.DriverGoroutine, true, false},
		{"http1/tls", wsmanager.DriverGoroutine, false, true},
		{"http2/tls", wsmanager.DriverGoroutine, true, true},
	} {
		b.Run(way.name, func(b *testing.B) {
			opts := optionsWithoutLog()
			opts.Driver = way.driver
			m := wsmanager.MustNew(echoing, opts)
			srv := httptest.NewUnstartedServer(m)
			wsmanager.SpeakH2(srv.Config)
			srv.EnableHTTP2 = true
			if way.secure {
				srv.StartTLS()
			} else {
				srv.Start()
			}
			b.Cleanup(func() {
				_ = m.Shutdown(b.Context()) // the context is cancelled: connections are cut
				srv.CloseClientConnections()
				srv.Close()
			})
			var conn net.Conn
			var err error
			if way.secure {
				protocol := map[bool]string{false: "http/1.1", true: "h2"}[way.h2]
				pool := srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
				conn, err = tls.Dial("tcp", srv.Listener.Addr().String(), &tls.Config{RootCAs: pool, ServerName: "example.com", NextProtos: []string{protocol}})
			} else {
				conn, err = net.Dial("tcp", srv.Listener.Addr().String())
			}
			require.NoError(b, err)
			var path echoPath
			if way.h2 {
				path = streamPath(b, conn)
			} else {
				wstest.HandshakeOn(b, conn, wstest.Request(b, srv.URL), nil)
				require.NoError(b, conn.SetDeadline(time.Time{}))
				path = func(frame, buf []byte) { echo(conn, frame, buf) }
			}
			frame := wstest.Frame(ws.OpText, true, []byte(repeat("x", 128)))
			buf := make([]byte, 2+2+128)
			path(frame, buf)
			b.ReportAllocs()
			before := cpuTime()
			for b.Loop() {
				path(frame, buf)
			}
			b.ReportMetric(float64((cpuTime()-before).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}
