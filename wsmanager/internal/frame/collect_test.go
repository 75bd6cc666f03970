package frame_test

import (
	"bytes"
	"fmt"
	"testing"
	"unsafe"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame/frametest"
)

// messages records the payloads of messages, and the most memory that was held.
type messages struct {
	discard
	got [][]byte
}

func (m *messages) OnData(_ ws.OpCode, p []byte, _ bool) error {
	m.got = append(m.got, bytes.Clone(p))
	return nil
}

// transfer feeds a stream as a transport does: into Space, or else in parts of n bytes. It
// returns how many bytes were read into Space, and the most memory that was held in relation
// to the bytes that had arrived.
func transfer(t *testing.T, r *frame.Reader, stream []byte, n int, h frame.Handler) (direct int, most float64) {
	t.Helper()
	buf := make([]byte, n)
	arrived := 0
	for len(stream) > 0 {
		p := r.Space()
		again := r.Space()
		require.Equal(t, len(p), len(again))
		if p == nil {
			p = buf
		} else {
			require.Same(t, unsafe.SliceData(p), unsafe.SliceData(again))
			require.LessOrEqual(t, len(p), 256<<10)
			direct += min(len(p), len(stream))
		}
		p = p[:copy(p, stream)]
		stream = stream[len(p):]
		arrived += len(p)
		read, err := r.Feed(p, h)
		require.NoError(t, err)
		require.Equal(t, len(p), read)
		if arrived > 4<<10 {
			most = max(most, float64(r.Buffered())/float64(arrived))
		}
	}
	return direct, most
}

// pattern returns n bytes that differ from each other.
func pattern(n int) string {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return string(p)
}

// Messages of all sizes are the same, whether they are read into their memory or copied.
func TestSpace(t *testing.T) {
	for _, size := range []int{0, 1, 4 << 10, 16 << 10, 64 << 10, 64<<10 + 1, 300 << 10, 1 << 20, 5 << 20} {
		for _, fragment := range []int{size + 1, 100 << 10, 5000} {
			t.Run(fmt.Sprintf("%d in fragments of %d", size, fragment), func(t *testing.T) {
				want := pattern(size)
				var stream []byte
				op := ws.OpBinary
				for rest := want; ; op = ws.OpContinuation {
					part := rest[:min(len(rest), fragment)]
					rest = rest[len(part):]
					stream = append(stream, frametest.Frame(op, len(rest) == 0, part)...)
					if len(rest) == 0 {
						break
					}
					stream = append(stream, frametest.Frame(ws.OpPing, true, "p")...)
				}
				stream = append(bytes.Clone(stream), stream...)
				for _, n := range []int{16 << 10, 1000} {
					var h messages
					r := frame.GetReader(frame.Config{Masked: true, Limit: 16 << 20})
					direct, most := transfer(t, r, bytes.Clone(stream), n, &h)
					require.Len(t, h.got, 2)
					for _, got := range h.got {
						if string(got) != want {
							t.Fatal("the message is not the same")
						}
					}
					require.True(t, r.Idle())
					require.Zero(t, r.Buffered())
					require.LessOrEqual(t, most, 5.0, "memory for each byte that has arrived")
					if size >= 64<<10 && fragment > size {
						require.Greater(t, direct, size, "of %d", len(stream))
					}
				}
			})
		}
	}
}

// A message holds at most a quarter more than its size once it has arrived, if its length was
// announced.
func TestSpaceOfAnHonestLength(t *testing.T) {
	for _, size := range []int{100 << 10, 1<<20 + 1, 9 << 20, 16 << 20} {
		r := frame.GetReader(frame.Config{Masked: true, Limit: 16 << 20})
		stream := []byte(frametest.Frame(ws.OpBinary, true, pattern(size)))
		transfer(t, r, stream[:len(stream)-1], 16<<10, &messages{})
		require.LessOrEqual(t, r.Buffered(), size+size/4)
	}
}

// Space is for the payloads of messages only.
func TestNoSpace(t *testing.T) {
	big := frametest.Frame(ws.OpBinary, true, pattern(100<<10))
	for _, tt := range []struct {
		name, fed string
		cfg       frame.Config
	}{
		{"between messages", "", frame.Config{Masked: true, Limit: 1 << 20}},
		{"after a header", big[:14], frame.Config{Masked: true, Limit: 1 << 20}},
		{"after a few bytes", big[:100], frame.Config{Masked: true, Limit: 1 << 20}},
		{"before a few bytes", big[:len(big)-100], frame.Config{Masked: true, Limit: 1 << 20}},
		{"between fragments", frametest.Frame(ws.OpBinary, false, pattern(100<<10)), frame.Config{Masked: true, Limit: 1 << 20}},
		{"in a ping between fragments", frametest.Frame(ws.OpBinary, false, pattern(100<<10)) + frametest.Frame(ws.OpPing, true, "ping")[:7], frame.Config{Masked: true, Limit: 1 << 20}},
		{"in pieces", big[:50<<10], frame.Config{Masked: true, Limit: 1 << 20, Pieces: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := frame.GetReader(tt.cfg)
			_, err := r.Feed([]byte(tt.fed), discard{})
			require.NoError(t, err)
			require.Nil(t, r.Space())
		})
	}
}
