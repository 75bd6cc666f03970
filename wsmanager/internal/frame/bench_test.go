package frame_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame/frametest"
)

// discard drops all events.
type discard struct{}

func (discard) OnData(ws.OpCode, []byte, bool) error       { return nil }
func (discard) OnCompressed(ws.OpCode, []byte, bool) error { return nil }
func (discard) OnPiece(frame.Piece) error                  { return nil }
func (discard) OnPing([]byte) error                        { return nil }
func (discard) OnPong([]byte) error                        { return nil }
func (discard) OnClose(ws.StatusCode, string) error        { return nil }

// BenchmarkReader reads a masked text as a connection does that has been idle. It must not
// allocate.
func BenchmarkReader(b *testing.B) {
	for _, size := range []int{16, 128, 4096} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			f := []byte(frametest.Frame(ws.OpText, true, strings.Repeat("x", size)))
			buf := make([]byte, len(f))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			h := discard{}
			for b.Loop() {
				copy(buf, f) // Feed unmasks it in place
				r := frame.GetReader(frame.Config{Masked: true, Limit: 64 << 10})
				if _, err := r.Feed(buf, h); err != nil || !r.Idle() {
					b.Fatal(err)
				}
				frame.PutReader(r)
			}
		})
	}
}

// BenchmarkMask encodes and masks a frame. It must not allocate.
func BenchmarkMask(b *testing.B) {
	for _, size := range []int{16, 128, 4096} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			k := frame.NewMaskKeys()
			p := make([]byte, size)
			buf := make([]byte, 0, size+14)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				buf = k.Mask(frame.Append(buf[:0], ws.OpBinary, p), 0)
			}
		})
	}
}
