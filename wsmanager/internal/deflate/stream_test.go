package deflate

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame/frametest"
)

// stream inflates a message that arrives in parts of n bytes, all at once if n is 0. The
// output has pieces of at most limit bytes.
func stream(t testing.TB, compressed []byte, n, limit int) (string, error) {
	t.Helper()
	var out bytes.Buffer
	in := NewStream()
	defer func() { in.Release() }()
	if n == 0 {
		n = max(1, len(compressed))
	}
	buf := make([]byte, n) // the next part overwrites the one before
	for begun := false; !begun || len(compressed) > 0; begun = true {
		part := buf[:copy(buf, compressed)]
		compressed = compressed[len(part):]
		in.Feed(part)
		if len(compressed) == 0 {
			in.End()
		}
		for more := true; more; {
			var p []byte
			var err error
			if p, more, err = in.Next(limit); err != nil {
				return out.String(), err
			}
			if len(p) > limit {
				t.Fatalf("%d bytes, the limit is %d", len(p), limit)
			}
			out.Write(p)
			clear(p) // it belongs to the caller
		}
	}
	return out.String(), nil
}

func TestStream(t *testing.T) {
	for _, tt := range inflateCases {
		t.Run(tt.name, func(t *testing.T) {
			for _, n := range []int{0, 1, 2, 7} {
				for _, limit := range []int{1, 5, 1 << 20} {
					got, err := stream(t, []byte(tt.compressed), n, limit)
					switch {
					case tt.code == ws.StatusInvalidFramePayloadData && !strings.Contains(tt.name, "UTF-8") && !strings.Contains(tt.name, "character"):
						var failure *frame.Error
						require.ErrorAs(t, err, &failure)
						require.Equal(t, tt.code, failure.Code, "%v", err)
					case tt.code == 0:
						require.NoError(t, err, "parts of %d, limit %d", n, limit)
						require.Equal(t, tt.want, got)
					}
				}
			}
		})
	}
}

// Kinds of data, levels and lengths around the window's size.
func TestStreamAgreesWithFlate(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields("the quick brown fox jumps over a lazy dog and every other animal in this very large forest")
	var prose strings.Builder
	for prose.Len() < 200_000 {
		prose.WriteString(words[random.IntN(len(words))] + " ")
	}
	for _, kind := range []struct{ name, data string }{
		{"zeros", strings.Repeat("\x00", 200_000)},
		{"noise", noise(200_000)},
		{"prose", prose.String()},
		{"a period as long as the window", strings.Repeat(noise(windowSize), 5)},
		{"a period one shorter", strings.Repeat(noise(windowSize-1), 5)},
		{"short periods", strings.Repeat("ab", 50_000) + strings.Repeat("abcde", 20_000)},
	} {
		t.Run(kind.name, func(t *testing.T) {
			for _, level := range []int{-2, 0, 1, 6, 9} {
				for _, size := range []int{1, windowSize - 1, windowSize, windowSize + 1, 2 * windowSize, len(kind.data) - 7} {
					compressed := []byte(deflated(kind.data[:size], level))
					for _, n := range []int{0, 1000} {
						for _, limit := range []int{1000, windowSize, 1 << 30} {
							got, err := stream(t, compressed, n, limit)
							require.NoError(t, err)
							if got != kind.data[:size] {
								t.Fatalf("level %d, %d bytes in parts of %d, limit %d: not the same", level, size, n, limit)
							}
						}
					}
				}
			}
		})
	}
}

// Bytes that have arrived are delivered, without waiting for the rest of a block.
func TestStreamDeliversWhatHasArrived(t *testing.T) {
	compressed := []byte(deflated(noise(20_000), 0) + deflated("Hello", 6))
	in := NewStream()
	defer in.Release()
	in.Feed(compressed[:10_000])
	p, more, err := in.Next(1 << 20)
	require.NoError(t, err)
	require.False(t, more)
	require.Len(t, p, 10_000-5)
}

// A bomb is inflated as far as it is asked for. A Stream does not allocate.
func TestStreamOfABomb(t *testing.T) {
	bomb := []byte(deflated(strings.Repeat("x", 100<<20), 9))
	in := NewStream()
	defer in.Release()
	in.Feed(bomb)
	allocs := testing.AllocsPerRun(100, func() {
		p, more, err := in.Next(64 << 10)
		if len(p) != pieceSize || !more || err != nil {
			panic(fmt.Sprint(len(p), more, err))
		}
	})
	require.Zero(t, allocs)
	require.Greater(t, len(in.(*Stream).in), len(bomb)/2)
}

// A clone continues where the Stream is, and changes neither it nor its output.
func TestCloneOfAStream(t *testing.T) {
	data := strings.Repeat("All work and no play makes Jack a dull boy. ", 10_000)
	compressed := []byte(deflated(data, 6))
	in := NewStream()
	in.Feed(compressed)
	in.End()
	got := ""
	for more := true; more; {
		var p []byte
		var err error
		p, more, err = in.Next(1000)
		require.NoError(t, err)
		held := string(p)
		got += held
		next := in.Clone()
		in.(*Stream).in = nil // the clone has its own
		_, _, err = next.Clone().Next(windowSize)
		require.NoError(t, err)
		require.Equal(t, held, string(p))
		in = next
	}
	require.Equal(t, data, got)
}

// The user of a piece may change it while another goroutine clones the Stream. The race
// detector sees if the clone reads it.
func TestCloneWhileAPieceChanges(t *testing.T) {
	data := strings.Repeat("All work and no play makes Jack a dull boy. ", 1000)
	in := NewStream()
	in.Feed([]byte(deflated(data, 6)))
	in.End()
	p, more, err := in.Next(1000)
	require.NoError(t, err)
	require.True(t, more)
	got := string(p)
	cloned := make(chan frame.Inflater)
	go func() { cloned <- in.Clone() }()
	for i := range p {
		p[i] = byte(i)
	}
	for next := <-cloned; more; {
		p, more, err = next.Next(windowSize)
		require.NoError(t, err)
		got += string(p)
	}
	require.Equal(t, data, got)
}

// piecesOf returns the events of a client's stream on a connection with compression that is
// read in pieces. takes has a bit for each of 8 pieces in turn.
func piecesOf(stream string, n, limit int, takes uint8) []string {
	e := frametest.Recorder{Takes: func() bool {
		takes = takes<<1 | takes>>7
		return takes&1 != 0
	}}
	r := frame.GetReader(frame.Config{Masked: true, Pieces: true, Limit: limit, CompressedLimit: 1, Inflater: NewStream})
	events, _ := e.Record(r, []byte(stream), n)
	return events
}

func TestCompressedPieces(t *testing.T) {
	prose := strings.Repeat("All work and no play makes Jack a dull boy. €", 200)
	hello := deflated("Hello", 6)
	long := deflated(prose, 6)
	zeros := strings.Repeat("\x00", 10_000)
	for _, tt := range []struct {
		name, stream string
		want         []string
	}{
		{"a message", frametest.Reserved(ws.OpText, true, RSV1, hello), []string{`text "Hello"`}},
		{"an empty one", frametest.Reserved(ws.OpText, true, RSV1, "\x00") + frametest.Reserved(ws.OpText, true, RSV1, ""), []string{`text ""`, `text ""`}},
		{"a long one", frametest.Reserved(ws.OpText, true, RSV1, long), []string{fmt.Sprintf("text %q", prose)}},
		{"a bomb", frametest.Reserved(ws.OpBinary, true, RSV1, deflated(zeros, 9)), []string{fmt.Sprintf("binary %q", zeros)}},
		{"fragments, and a ping", frametest.Reserved(ws.OpText, false, RSV1, long[:20]) + frametest.Frame(ws.OpPing, true, "p") + frametest.Frame(ws.OpContinuation, false, "") + frametest.Frame(ws.OpContinuation, true, long[20:]), []string{`ping "p"`, fmt.Sprintf("text %q", prose)}},
		{"plain and compressed", frametest.Frame(ws.OpText, true, "a") + frametest.Reserved(ws.OpText, true, RSV1, hello) + frametest.Frame(ws.OpText, true, "b"), []string{`text "a"`, `text "Hello"`, `text "b"`}},
		{"bad UTF-8", frametest.Reserved(ws.OpText, true, RSV1, deflated("caf\xe9", 6)), []string{"fail 1007"}},
		{"half a character", frametest.Reserved(ws.OpText, true, RSV1, deflated("x\xc3", 6)), []string{"fail 1007"}},
		{"cut off", frametest.Reserved(ws.OpText, true, RSV1, long[:len(long)-5]), []string{"fail 1007"}},
		{"rubbish", frametest.Reserved(ws.OpText, true, RSV1, "\xff\xff\xff\xff"), []string{"fail 1007"}},
		{"a reserved bit of a continuation", frametest.Reserved(ws.OpText, false, RSV1, hello) + frametest.Reserved(ws.OpContinuation, true, RSV1, ""), []string{"fail 1002"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, n := range []int{0, 1, 7} {
				for _, limit := range []int{16, 1000, 1 << 20} {
					for _, takes := range []uint8{0, 0xff, 0x55, 0x11} {
						require.Equal(t, tt.want, piecesOf(tt.stream, n, limit, takes), "in pieces of %d, limit %d, takeovers %b", n, limit, takes)
					}
				}
			}
		})
	}
}

// FuzzStreaming compares Stream with compress/flate.
func FuzzStreaming(f *testing.F) {
	for _, tt := range inflateCases {
		if len(tt.compressed) < 10_000 {
			f.Add([]byte(tt.compressed), uint8(3), uint16(1000))
		}
	}
	f.Add([]byte(deflated(strings.Repeat("All work and no play makes Jack a dull boy. ", 100), 9)), uint8(0), uint16(70))
	f.Add([]byte(deflated(noise(2000), 1)), uint8(9), uint16(70))
	f.Fuzz(func(t *testing.T, compressed []byte, n uint8, limit uint16) {
		const most = 64 << 10
		want, err := Inflate(nil, compressed, false, most)
		var failure *frame.Error
		if errors.As(err, &failure) && failure.Code == ws.StatusMessageTooBig {
			return
		}
		got, gotErr := stream(t, compressed, int(n), int(limit)+1)
		require.Equal(t, err == nil, gotErr == nil, "flate: %v, Stream: %v", err, gotErr)
		if err == nil {
			require.Equal(t, string(want), got)
		} else {
			require.ErrorAs(t, gotErr, &failure)
			require.Equal(t, ws.StatusInvalidFramePayloadData, failure.Code)
		}
	})
}

// BenchmarkStream inflates as compress/flate does beside it.
func BenchmarkStream(b *testing.B) {
	data := []byte(strings.Repeat(`{"id":12345,"name":"All work and no play","values":[1,2,3,5,8,13]},`, 1000))
	random := rand.New(rand.NewPCG(1, 2))
	for i := range data {
		if random.IntN(10) == 0 {
			data[i] = byte('a' + random.IntN(26))
		}
	}
	compressed := []byte(deflated(string(data), 6))
	b.Run("stream", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			in := NewStream()
			in.Feed(compressed)
			in.End()
			for more := true; more; {
				var err error
				if _, more, err = in.Next(1 << 20); err != nil {
					b.Fatal(err)
				}
			}
			in.Release()
		}
	})
	b.Run("flate", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		r := flate.NewReader(nil)
		for b.Loop() {
			if err := r.(flate.Resetter).Reset(bytes.NewReader(append(compressed, inflateEnd...)), nil); err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, r); err != nil {
				b.Fatal(err)
			}
		}
	})
}
