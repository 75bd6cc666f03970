package deflate

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame/frametest"
)

// deflated returns a message as a peer compresses it.
func deflated(p string, level int) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		panic(err)
	}
	if _, err = w.Write([]byte(p)); err == nil {
		err = w.Flush()
	}
	if err != nil {
		panic(err)
	}
	return strings.TrimSuffix(b.String(), syncTail)
}

// finalDeflated returns a compressed message that ends with a final block.
func finalDeflated(p string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, 6)
	_, _ = w.Write([]byte(p))
	_ = w.Close()
	return b.String()
}

// noise returns bytes that don't compress.
func noise(n int) string {
	p := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{7})
	_, _ = rng.Read(p)
	return string(p)
}

// inflateCases are payloads of compressed messages and the inflated messages. They seed
// FuzzInflate. Those in hexadecimal are the examples of RFC 7692, section 7.2.3.
var inflateCases = []struct {
	name       string
	compressed string
	want       string
	code       ws.StatusCode // instead
}{
	{"one block", "\xf2\x48\xcd\xc9\xc9\x07\x00", "Hello", 0},
	{"no compression", "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", "Hello", 0},
	{"a final block", "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "Hello", 0},
	{"two blocks", "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", "Hello", 0},
	{"an empty message", "\x00", "", 0},
	{"an empty message in a fixed block", "\x02\x00", "", 0},
	{"an empty flush", "", "", 0},
	{"a final block without the empty block behind it", "\xf3\x48\xcd\xc9\xc9\x07\x00", "Hello", 0},
	{"an empty final block", "\x01", "", 0},
	{"final blocks in a row", finalDeflated("one ") + finalDeflated("two ") + "\x00", "one two ", 0},
	{"a final block, then others", finalDeflated("one ") + deflated("two", 6), "one two", 0},
	{"final blocks of nothing", strings.Repeat("\x03\x00", 100) + deflated("x", 1), "x", 0},
	{"the flush was left on", deflated("Hello", 6) + syncTail + "\x00", "Hello", 0},
	{"characters of several bytes", deflated("aä€😀", 9), "aä€😀", 0},
	{"at the limit", deflated(strings.Repeat("x", 1000), 9), strings.Repeat("x", 1000), 0},
	{"at the limit, stored", deflated(strings.Repeat("x", 1000), 0), strings.Repeat("x", 1000), 0},

	{"one byte above the limit", deflated(strings.Repeat("x", 1001), 9), "", 1009},
	{"far above the limit", deflated(strings.Repeat("x", 1<<20), 9), "", 1009},
	{"above the limit, then rubbish", deflated(strings.Repeat("x", 1001), 9) + "\xff\xff", "", 1009},
	{"above the limit in several final blocks", finalDeflated(strings.Repeat("x", 600)) + finalDeflated(strings.Repeat("x", 600)), "", 1009},
	{"a reserved kind of block", "\x07", "", 1007},
	{"rubbish", "\xff\xff\xff\xff", "", 1007},
	{"rubbish behind a final block", finalDeflated("one") + "\xff\xff", "", 1007},
	{"a distance before the beginning", "\x03\x22\x00\x00", "", 1007},
	{"a stored block with a wrong length", "\x00\x05\x00\xfa\xfe\x48\x65\x6c\x6c\x6f\x00", "", 1007},
	{"a stored block that is cut off", "\x00\x05\x00\xfa\xff\x48\x65", "", 1007},
	{"a stored block that ends within what we append", "\x00\x0b\x00\xf4\xff\x48\x65", "", 1007},
	{"cut off in the middle", deflated("Hello, hello, hello", 6)[:5], "", 1007},
	{"bad UTF-8", deflated("caf\xe9", 6), "", 1007},
	{"half a character at the end", deflated("x\xc3", 6), "", 1007},
	{"bad UTF-8 before too much", deflated("\xff"+strings.Repeat("x", 1<<20), 9), "", 1009},
}

const inflateLimit = 1000

func TestInflate(t *testing.T) {
	for _, tt := range inflateCases {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Inflate(nil, []byte(tt.compressed), true, inflateLimit)
			require.LessOrEqual(t, cap(got), inflateLimit)
			if tt.code != 0 {
				var failure *frame.Error
				require.ErrorAs(t, err, &failure)
				require.Equal(t, tt.code, failure.Code, "%v", err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, string(got))
		})
	}
}

// Every truncation is noticed, and no flipped bit does harm. (Without a checksum, damaged
// bytes can be another valid message.)
func TestInflateDamaged(t *testing.T) {
	whole := deflated(strings.Repeat("All work and no play makes Jack a dull boy. ", 10)+noise(50), 6)
	noticed := 0
	check := func(damaged []byte) {
		got, err := Inflate(nil, damaged, false, inflateLimit)
		require.LessOrEqual(t, cap(got), inflateLimit)
		if err == nil {
			return
		}
		var failure *frame.Error
		require.ErrorAs(t, err, &failure)
		require.Contains(t, []ws.StatusCode{1007, 1009}, failure.Code)
		noticed++
	}
	for n := 1; n < len(whole)-1; n++ { // the last byte may only belong to the flush
		check([]byte(whole[:n]))
	}
	require.Equal(t, len(whole)-2, noticed, "every truncation is noticed")
	for i := range 8 * (len(whole) - 1) {
		damaged := []byte(whole)
		damaged[i/8] ^= 1 << (i % 8)
		check(damaged)
	}
	require.Greater(t, noticed, len(whole))
}

// A text fails soon after the first invalid byte, not after the whole text.
func TestInflateFailsFast(t *testing.T) {
	bomb := deflated("\xff"+strings.Repeat("x", 10<<20), 9)
	got, err := Inflate(nil, []byte(bomb), true, 16<<20)
	require.ErrorIs(t, err, frame.ErrInvalidUTF8)
	require.Less(t, cap(got), 64<<10)
}

// Of ten megabytes behind ten kilobytes, and of their first kilobyte, at most as
// many bytes as the limit are ever in memory.
func TestBombs(t *testing.T) {
	bomb := deflated(strings.Repeat("\x00", 10<<20), 9)
	require.Less(t, len(bomb), 11<<10)
	for _, limit := range []int{0, 1, 1000, 64 << 10, 1 << 20} {
		for _, wire := range []string{bomb, bomb[:1<<10]} { // cut off as well
			var before, after runtime.MemStats
			_, _ = Inflate(nil, []byte{0}, false, 0) // fills the pool
			runtime.ReadMemStats(&before)
			got, err := Inflate(nil, []byte(wire), false, limit)
			runtime.ReadMemStats(&after)
			var failure *frame.Error
			require.ErrorAs(t, err, &failure)
			if len(wire) == len(bomb) || limit < 1<<20 {
				require.EqualValues(t, 1009, failure.Code)
			}
			require.LessOrEqual(t, cap(got), limit)
			// The growing buffer was copied at most twice. The pool may have been emptied
			// meanwhile: the rest is for a new flate reader.
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(3*limit+len(wire)+200<<10))
		}
	}
}

// wholeInflated inflates a message without limits: each stream up to its final block, then
// the next.
func wholeInflated(compressed []byte) ([]byte, error) {
	src := bytes.NewReader(append(bytes.Clone(compressed), syncTail+"\x01\x00\x00\xff\xff"...))
	var out []byte
	for {
		part, err := io.ReadAll(io.LimitReader(flate.NewReader(src), 1<<20))
		out = append(out, part...)
		left := src.Len()
		switch {
		case err != nil:
			return out, err
		case left == 0, left == 5, left == 9: // everything was read
			return out, nil
		case left < 9:
			return out, io.ErrUnexpectedEOF
		}
	}
}

// FuzzInflate compares Inflate with compress/flate without a limit: both return the same
// bytes or an error, and Inflate never allocates more than the limit.
func FuzzInflate(f *testing.F) {
	for _, tt := range inflateCases {
		f.Add([]byte(tt.compressed), true, uint16(inflateLimit))
	}
	f.Add([]byte(deflated(noise(300), 6)), false, uint16(299))
	f.Fuzz(func(t *testing.T, compressed []byte, text bool, bound uint16) {
		limit := int(bound)
		got, err := Inflate(nil, bytes.Clone(compressed), text, limit)
		require.LessOrEqual(t, cap(got), limit)
		if len(compressed) == 0 {
			require.NoError(t, err)
			return
		}
		want, wantErr := wholeInflated(compressed)
		var failure *frame.Error
		switch {
		case err == nil:
			require.NoError(t, wantErr)
			require.Equal(t, string(want), string(got))
			require.True(t, !text || utf8.Valid(got))
		case !errors.As(err, &failure):
			t.Fatalf("no frame.Error: %v", err)
		case failure.Code == ws.StatusMessageTooBig:
			require.Greater(t, len(want), limit)
		case errors.Is(err, errBadDeflate):
			require.Error(t, wantErr)
		default:
			require.True(t, text && !utf8.Valid(want), "%v", err)
		}
	})
}

const testLimit = 65536

// record returns the events of a client's stream on a connection with compression, fed in
// pieces of n bytes.
func record(stream string, n int) []string {
	e := frametest.Recorder{Inflate: func(op ws.OpCode, p []byte) ([]byte, error) {
		return Inflate(nil, p, op == ws.OpText, testLimit)
	}}
	r := frame.GetReader(frame.Config{Masked: true, Limit: testLimit, CompressedLimit: MaxCompressed(testLimit)})
	events, _ := e.Record(r, []byte(stream), n)
	return events
}

// Reserved bits are accepted only where RFC 7692 defines them.
func TestReservedBits(t *testing.T) {
	hello := deflated("Hello", 6)
	const rsv2, rsv3 = 0x20, 0x10
	for _, tt := range []struct {
		name, stream string
		want         []string
	}{
		{"compressed", frametest.Reserved(ws.OpText, true, RSV1, hello), []string{`compressed text "Hello"`}},
		{"compressed binary", frametest.Reserved(ws.OpBinary, true, RSV1, hello), []string{`compressed binary "Hello"`}},
		{"plain", frametest.Frame(ws.OpText, true, "Hello"), []string{`text "Hello"`}},
		{"plain after compressed", frametest.Reserved(ws.OpText, true, RSV1, hello) + frametest.Frame(ws.OpText, true, "Hello"), []string{`compressed text "Hello"`, `text "Hello"`}},
		{"fragments", frametest.Reserved(ws.OpText, false, RSV1, hello[:2]) + frametest.Frame(ws.OpContinuation, false, "") + frametest.Frame(ws.OpContinuation, true, hello[2:]), []string{`compressed text "Hello"`}},
		{"control frames between fragments", frametest.Reserved(ws.OpText, false, RSV1, hello[:2]) + frametest.Frame(ws.OpPing, true, "p") + frametest.Frame(ws.OpContinuation, true, hello[2:]), []string{`ping "p"`, `compressed text "Hello"`}},
		{"plain fragments after compressed ones", frametest.Reserved(ws.OpText, false, RSV1, hello) + frametest.Frame(ws.OpContinuation, true, "") + frametest.Frame(ws.OpText, false, "a") + frametest.Frame(ws.OpContinuation, true, "b"), []string{`compressed text "Hello"`, `text "ab"`}},
		{"bytes that are no UTF-8 on the wire", frametest.Reserved(ws.OpText, true, RSV1, deflated("€uro €uro", 6)), []string{`compressed text "€uro €uro"`}},
		{"bad UTF-8 is found in plain ones still", frametest.Reserved(ws.OpText, true, RSV1, hello) + frametest.Frame(ws.OpText, true, "\xff"), []string{`compressed text "Hello"`, "fail 1007"}},
		{"on a continuation", frametest.Reserved(ws.OpText, false, RSV1, hello) + frametest.Reserved(ws.OpContinuation, true, RSV1, ""), []string{"fail 1002"}},
		{"on a continuation only", frametest.Frame(ws.OpText, false, "a") + frametest.Reserved(ws.OpContinuation, true, RSV1, hello), []string{"fail 1002"}},
		{"on a continuation of nothing", frametest.Reserved(ws.OpContinuation, true, RSV1, hello), []string{"fail 1002"}},
		{"on a ping", frametest.Reserved(ws.OpPing, true, RSV1, ""), []string{"fail 1002"}},
		{"on a pong", frametest.Reserved(ws.OpPong, true, RSV1, ""), []string{"fail 1002"}},
		{"on a close frame", frametest.Reserved(ws.OpClose, true, RSV1, frametest.CloseBody(1000, "")), []string{"fail 1002"}},
		{"on a reserved opcode", frametest.Reserved(3, true, RSV1, ""), []string{"fail 1002"}},
		{"by the first byte", "\xc9", []string{"fail 1002"}},
		{"with the second bit", frametest.Reserved(ws.OpText, true, RSV1|rsv2, hello), []string{"fail 1002"}},
		{"with the third bit", frametest.Reserved(ws.OpText, true, RSV1|rsv3, hello), []string{"fail 1002"}},
		{"the second bit alone", frametest.Reserved(ws.OpText, true, rsv2, hello), []string{"fail 1002"}},
		{"a new message among fragments", frametest.Reserved(ws.OpText, false, RSV1, hello) + frametest.Reserved(ws.OpText, true, RSV1, hello), []string{"fail 1002"}},
		{"as long as the limit when it is stored", frametest.Reserved(ws.OpBinary, true, RSV1, deflated(noise(testLimit), 0)), []string{fmt.Sprintf("compressed binary %q", noise(testLimit))}},
		{"longer on the wire than it may be", frametest.Reserved(ws.OpBinary, true, RSV1, strings.Repeat("\x00\x00\x00\xff\xff", testLimit/4))[:14], []string{"fail 1009"}},
		{"longer on the wire in fragments", frametest.Reserved(ws.OpBinary, false, RSV1, strings.Repeat("x", testLimit)) + frametest.Frame(ws.OpContinuation, false, strings.Repeat("x", testLimit)), []string{"fail 1009"}},
		{"plain beyond the limit", frametest.Frame(ws.OpBinary, true, strings.Repeat("x", testLimit+1)), []string{"fail 1009"}},
		{"inflated beyond the limit", frametest.Reserved(ws.OpBinary, true, RSV1, deflated(strings.Repeat("x", testLimit+1), 9)), []string{"fail 1009"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, n := range []int{0, 1, 2, 7} {
				require.Equal(t, tt.want, record(tt.stream, n), "in pieces of %d", n)
			}
		})
	}
}

// A message within the limit is not refused for its compressed length, however badly it is
// compressed.
func TestMaxCompressed(t *testing.T) {
	for _, n := range []int{0, 1, 100, 1000, 65535, 65536, 1 << 20} {
		for _, level := range []int{-2, 0, 1, 6, 9} {
			require.LessOrEqual(t, len(deflated(noise(n), level)), MaxCompressed(n))
		}
	}
	// 31 bytes in each stored block, as zlib writes with its smallest memory level.
	var b strings.Builder
	for range 1000 {
		b.WriteString("\x00\x1f\x00\xe0\xff" + strings.Repeat("x", 31))
	}
	b.WriteString("\x00")
	require.LessOrEqual(t, b.Len(), MaxCompressed(31_000)+31_000/20)
}
