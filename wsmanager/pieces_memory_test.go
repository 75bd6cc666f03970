//go:build !race

package wsmanager_test

import (
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// Messages of any size need no more than 1 MiB of live memory, and so does a bomb. With
// SPEAKINGTUBE_CONFORMANCE=all they have 1 GiB.
func TestMemoryOfPieces(t *testing.T) { onEachDriver(t, testMemoryOfPieces) }

func testMemoryOfPieces(t *testing.T) {
	size := 64 << 20
	if allConformance {
		size = 1 << 30
	}
	for _, tt := range []struct {
		name     string
		fragment int // 0: one frame
		bomb     bool
	}{{"one frame", 0, false}, {"fragments", 100_000, false}, {"a bomb", 0, true}} {
		t.Run(tt.name, func(t *testing.T) {
			live := func() uint64 {
				runtime.GC()
				runtime.GC() // empties pools
				var s runtime.MemStats
				runtime.ReadMemStats(&s)
				return s.HeapAlloc
			}
			var base, most uint64
			received, next := 0, size/8
			done := make(chan int, 1)
			m := wsmanager.MustNew(wsmanager.Callbacks{OnPiece: func(_ *wsmanager.Conn, p wsmanager.Piece) error {
				received += len(p.Data)
				if received >= next {
					next += size / 8
					most = max(most, live())
				}
				if p.Last {
					done <- received
				}
				return nil
			}}, onDriver(t, compressing()))
			srv := httptest.NewUnstartedServer(m)
			serveDriverProtocol(t, srv)
			// net/http buffers up to 1 MiB for each stream.
			srv.Config.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10, MaxReceiveBufferPerConnection: 64 << 10}
			srv.Start()
			t.Cleanup(func() {
				shutdown(t, m)
				srv.Close()
			})
			c := dialOver(t, srv.URL, offering)
			write := func(p []byte) { c.SendRaw(p) }
			block := deflate(t, make([]byte, 1<<20), 9)
			data := wstest.Frame(ws.OpContinuation, false, make([]byte, 100_000))
			base = live()
			switch {
			case tt.bomb:
				write(compressed(ws.OpBinary, false, nil))
				frame := wstest.Frame(ws.OpContinuation, false, append(block, 0, 0, 0xff, 0xff))
				for range size>>20 - 1 {
					write(frame)
				}
				write(wstest.Frame(ws.OpContinuation, true, block))
			case tt.fragment > 0:
				write(wstest.Frame(ws.OpBinary, false, nil))
				rest := size
				for ; rest > tt.fragment; rest -= tt.fragment {
					write(data)
				}
				write(wstest.Frame(ws.OpContinuation, true, make([]byte, rest)))
			default:
				head := peer{masks: true}.head(final|aBinary, size)
				write([]byte(head))
				for rest := size; rest > 0; rest -= min(rest, len(data)) {
					write(data[:min(rest, len(data))]) // whatever it means when it is unmasked
				}
			}
			require.Equal(t, size, receive(t, done))
			t.Logf("%d MiB: at most %d KiB live", size>>20, int64(most-base)>>10)
			require.LessOrEqual(t, int64(most)-int64(base), int64(1<<20))
		})
	}
}

// A piece allocates nothing, and neither does the beginning or the end of a message.
func TestPiecesDoNotAllocate(t *testing.T) { onEachDriver(t, testPiecesDoNotAllocate) }

func testPiecesDoNotAllocate(t *testing.T) {
	needH1(t, "net/http allocates for each frame of HTTP/2")
	for name, frame := range map[string][]byte{
		"a message":     wstest.Frame(ws.OpText, true, []byte(repeat("x", 128))),
		"a big message": wstest.Frame(ws.OpText, true, []byte(repeat("x", 100_000))),
		"fragments": join(wstest.Frame(ws.OpText, false, []byte("a")), wstest.Frame(ws.OpContinuation, false, nil),
			wstest.Frame(ws.OpContinuation, false, []byte("b")), wstest.Frame(ws.OpContinuation, true, []byte("c"))),
		"compressed":     compressed(ws.OpText, true, deflate(t, []byte(repeat("All work and no play. ", 5000)), 6)),
		"a small bomb":   compressed(ws.OpBinary, true, deflate(t, make([]byte, 1<<20), 9)),
		"an empty piece": wstest.Frame(ws.OpText, true, nil),
	} {
		t.Run(name, func(t *testing.T) {
			_, url := serve(t, wsmanager.Callbacks{OnPiece: func(c *wsmanager.Conn, p wsmanager.Piece) error {
				if p.Last {
					return c.Send(wsmanager.Text("done"))
				}
				return nil
			}}, compressing(), nil)
			c := dialOver(t, url, offering).Conn()
			buf := make([]byte, len("\x81\x04done"))
			echo(c, frame, buf)
			require.Less(t, leastAllocs(200, func() { echo(c, frame, buf) }), 1.0)
		})
	}
}

// The echo of a message allocates less than three times its size, and the next one that has
// the same size almost nothing. A length that is only announced allocates nothing.
func TestMemoryOfBigMessages(t *testing.T) { onSocketDrivers(t, testMemoryOfBigMessages) }

func testMemoryOfBigMessages(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // or the pools could be emptied
	const size = 16 << 20
	opts := optionsWithoutLog()
	opts.Limits.MaxMessageSize, opts.Outbox.Bytes = size, 2*size
	_, url := serve(t, echoing, opts, nil)
	c := dialOver(t, url, nil)
	frame := wstest.Frame(ws.OpBinary, true, make([]byte, size))
	buf := make([]byte, 10+size)
	allocated := func(f func()) int64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		return int64(after.TotalAlloc - before.TotalAlloc)
	}
	first := allocated(func() { echo(c.Conn(), frame, buf) })
	require.Less(t, first, int64(3*size))
	// A pool keeps memory for each processor, and the goroutines may change theirs.
	second := int64(math.MaxInt64)
	for range 20 {
		if second < size/2 {
			break
		}
		second = allocated(func() { echo(c.Conn(), frame, buf) })
	}
	t.Logf("allocated: %d and %d KiB", first>>10, second>>10)
	require.Less(t, second, int64(size/2), "a later message uses the same memory")

	announced := allocated(func() {
		c.SendRaw(frame[:200])
		other := dialOver(t, url, nil)
		other.SendText("x")
		other.ExpectText("x")
	})
	require.Less(t, announced, int64(256<<10))
}
