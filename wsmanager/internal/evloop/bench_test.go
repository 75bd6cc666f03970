//go:build linux

package evloop_test

import (
	"fmt"
	"net"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/evloop"
)

// BenchmarkEcho measures one round trip of 128 bytes on one of the given number of
// connections over loopback TCP. The clients are goroutines of the same process on
// net.Conns and cost more than the loop. cpu-ns/op is the processor time of both sides.
func BenchmarkEcho(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := newLoop(b, evloop.Options{})
			clients := make([]net.Conn, n)
			for i := range clients {
				var fd int
				fd, clients[i] = tcpPair(b)
				c := echo()
				c.ended = make(chan error, 1)
				require.NoError(b, l.Add(fd, c, &c.Socket))
				defer clients[i].Close()
			}
			var work sync.WaitGroup
			b.ReportAllocs()
			before := cpuTime(b)
			b.ResetTimer()
			for i, client := range clients {
				rounds := b.N / n
				if i < b.N%n {
					rounds++
				}
				work.Go(func() {
					p := make([]byte, 128)
					for range rounds {
						if _, err := client.Write(p); err != nil {
							b.Error(err)
						}
						for got := 0; got < len(p); {
							m, err := client.Read(p[got:])
							if err != nil {
								b.Error(err)
								return
							}
							got += m
						}
					}
				})
			}
			work.Wait()
			b.StopTimer()
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkIdle reports the memory that an idle connection costs the loop, without its
// handler.
func BenchmarkIdle(b *testing.B) {
	const n = 5000
	for b.Loop() {
		l := newLoop(b, evloop.Options{})
		conns := make([]conn, n)
		before := heap()
		for i := range conns {
			server, client := pair(b)
			conns[i].ended = make(chan error, 1)
			require.NoError(b, l.Add(server, &conns[i], &conns[i].Socket))
			defer client.Close()
		}
		b.ReportMetric((float64(heap())-float64(before))/n, "B/conn-with-client")
		b.ReportMetric(float64(l.Stats().Goroutines), "goroutines")
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
