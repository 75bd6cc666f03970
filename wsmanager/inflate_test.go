package wsmanager

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
	"unsafe"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
)

// deflated is a message as a peer compresses it.
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

// finalDeflated is one whose last block says that it is the last, without and with the
// empty block that has to follow.
func finalDeflated(p string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, 6)
	_, _ = w.Write([]byte(p))
	_ = w.Close()
	return b.String()
}

// rsvFrame is a masked frame with reserved bits.
func rsvFrame(op ws.OpCode, fin bool, rsv byte, payload string) string {
	f := []byte(frame(op, fin, payload))
	f[0] |= rsv
	return string(f)
}

// noise is bytes that don't compress.
func noise(n int) string {
	p := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{7})
	_, _ = rng.Read(p)
	return string(p)
}

// inflateCases are the payloads of compressed messages, and what they are. They seed
// the fuzz target. Those in hexadecimal are the examples of RFC 7692, section 7.2.3.
var inflateCases = []struct {
	name       string
	compressed string
	want       string
	code       StatusCode // instead
}{
	{"one block", "\xf2\x48\xcd\xc9\xc9\x07\x00", "Hello", 0},
	{"no compression", "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", "Hello", 0},
	{"a final block", "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "Hello", 0},
	{"two blocks", "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", "Hello", 0},
	{"an empty message", "\x00", "", 0},
	{"an empty message in a fixed block", "\x02\x00", "", 0},
	{"an empty flush", "", "", 0},
	{"a final block without what has to follow", "\xf3\x48\xcd\xc9\xc9\x07\x00", "Hello", 0},
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
			got, err := inflate(nil, []byte(tt.compressed), TextMessage, inflateLimit)
			require.LessOrEqual(t, cap(got), inflateLimit)
			if tt.code != 0 {
				var ce *CloseError
				require.ErrorAs(t, err, &ce)
				require.Equal(t, tt.code, ce.Code, "%v", err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, string(got))
		})
	}
}

// Every cut is noticed, and no flipped bit does harm. (There is no checksum: what is
// changed may be another message as well.)
func TestInflateDamaged(t *testing.T) {
	whole := deflated(strings.Repeat("All work and no play makes Jack a dull boy. ", 10)+noise(50), 6)
	noticed := 0
	check := func(damaged []byte) {
		got, err := inflate(nil, damaged, BinaryMessage, inflateLimit)
		require.LessOrEqual(t, cap(got), inflateLimit)
		if err == nil {
			return
		}
		var ce *CloseError
		require.ErrorAs(t, err, &ce)
		require.Contains(t, []StatusCode{1007, 1009}, ce.Code)
		noticed++
	}
	for n := 1; n < len(whole)-1; n++ { // the last byte may hold nothing but the flush
		check([]byte(whole[:n]))
	}
	require.Equal(t, len(whole)-2, noticed, "every cut is noticed")
	for i := range 8 * (len(whole) - 1) {
		damaged := []byte(whole)
		damaged[i/8] ^= 1 << (i % 8)
		check(damaged)
	}
	require.Greater(t, noticed, len(whole))
}

// A text is given up soon after the byte that is wrong, not when all of it is there.
func TestInflateFailsFast(t *testing.T) {
	bomb := deflated("\xff"+strings.Repeat("x", 10<<20), 9)
	got, err := inflate(nil, []byte(bomb), TextMessage, 16<<20)
	require.ErrorIs(t, err, errInvalidUTF8)
	require.Less(t, cap(got), 64<<10)
}

// A hundred megabytes behind a hundred kilobytes, and what a kilobyte can hold: only
// what is allowed is ever there.
func TestBombs(t *testing.T) {
	bomb := deflated(strings.Repeat("\x00", 10<<20), 9)
	require.Less(t, len(bomb), 11<<10)
	for _, limit := range []int{0, 1, 1000, 64 << 10, 1 << 20} {
		for _, wire := range []string{bomb, bomb[:1<<10]} { // cut off as well
			var before, after runtime.MemStats
			_, _ = inflate(nil, []byte{0}, BinaryMessage, 0) // the pool has one
			runtime.ReadMemStats(&before)
			got, err := inflate(nil, []byte(wire), BinaryMessage, limit)
			runtime.ReadMemStats(&after)
			var ce *CloseError
			require.ErrorAs(t, err, &ce)
			if len(wire) == len(bomb) || limit < 1<<20 {
				require.EqualValues(t, 1009, ce.Code)
			}
			require.LessOrEqual(t, cap(got), limit)
			// What has grown was copied at most twice; and a reader of flate, if the
			// pool was emptied meanwhile.
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(3*limit+len(wire)+200<<10))
		}
	}
}

// wholeInflated inflates a message as its sender must have meant it: every stream up to its
// final block, and then the next.
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
		case left == 0, left == 5, left == 9: // all was read
			return out, nil
		case left < 9:
			return out, io.ErrUnexpectedEOF
		}
	}
}

// FuzzInflate holds inflate against compress/flate, read whole: the same bytes or an
// error in both, and never more memory than the limit.
func FuzzInflate(f *testing.F) {
	for _, tt := range inflateCases {
		f.Add([]byte(tt.compressed), true, uint16(inflateLimit))
	}
	f.Add([]byte(deflated(noise(300), 6)), false, uint16(299))
	f.Fuzz(func(t *testing.T, compressed []byte, text bool, bound uint16) {
		limit, typ := int(bound), BinaryMessage
		if text {
			typ = TextMessage
		}
		got, err := inflate(nil, bytes.Clone(compressed), typ, limit)
		require.LessOrEqual(t, cap(got), limit)
		if len(compressed) == 0 {
			require.NoError(t, err)
			return
		}
		want, wantErr := wholeInflated(compressed)
		var ce *CloseError
		switch {
		case err == nil:
			require.NoError(t, wantErr)
			require.Equal(t, string(want), string(got))
			require.True(t, !text || utf8.Valid(got))
		case !errors.As(err, &ce):
			t.Fatalf("no CloseError: %v", err)
		case ce.Code == StatusMessageTooBig:
			require.Greater(t, len(want), limit)
		case errors.Is(err, errBadDeflate):
			require.Error(t, wantErr)
		default:
			require.True(t, text && !utf8.Valid(want), "%v", err)
		}
	})
}

// runDeflate is run for a connection that has agreed on compression.
func runDeflate(stream string, n int) []string {
	got, _ := feedAll(&frameReader{masked: true, deflate: true, limit: testLimit}, []byte(stream), n)
	return got
}

// Where the reserved bits may stand.
func TestReservedBits(t *testing.T) {
	hello := deflated("Hello", 6)
	const rsv2, rsv3 = 0x20, 0x10
	for _, tt := range []struct {
		name, stream string
		want         []string
	}{
		{"compressed", rsvFrame(ws.OpText, true, rsv1, hello), []string{`compressed text "Hello"`}},
		{"compressed binary", rsvFrame(ws.OpBinary, true, rsv1, hello), []string{`compressed binary "Hello"`}},
		{"plain", frame(ws.OpText, true, "Hello"), []string{`text "Hello"`}},
		{"plain after compressed", rsvFrame(ws.OpText, true, rsv1, hello) + frame(ws.OpText, true, "Hello"), []string{`compressed text "Hello"`, `text "Hello"`}},
		{"fragments", rsvFrame(ws.OpText, false, rsv1, hello[:2]) + frame(ws.OpContinuation, false, "") + frame(ws.OpContinuation, true, hello[2:]), []string{`compressed text "Hello"`}},
		{"control frames between fragments", rsvFrame(ws.OpText, false, rsv1, hello[:2]) + frame(ws.OpPing, true, "p") + frame(ws.OpContinuation, true, hello[2:]), []string{`ping "p"`, `compressed text "Hello"`}},
		{"plain fragments after compressed ones", rsvFrame(ws.OpText, false, rsv1, hello) + frame(ws.OpContinuation, true, "") + frame(ws.OpText, false, "a") + frame(ws.OpContinuation, true, "b"), []string{`compressed text "Hello"`, `text "ab"`}},
		{"bytes that are no UTF-8 on the wire", rsvFrame(ws.OpText, true, rsv1, deflated("€uro €uro", 6)), []string{`compressed text "€uro €uro"`}},
		{"bad UTF-8 is found in plain ones still", rsvFrame(ws.OpText, true, rsv1, hello) + frame(ws.OpText, true, "\xff"), []string{`compressed text "Hello"`, "fail 1007"}},
		{"on a continuation", rsvFrame(ws.OpText, false, rsv1, hello) + rsvFrame(ws.OpContinuation, true, rsv1, ""), []string{"fail 1002"}},
		{"on a continuation only", frame(ws.OpText, false, "a") + rsvFrame(ws.OpContinuation, true, rsv1, hello), []string{"fail 1002"}},
		{"on a continuation of nothing", rsvFrame(ws.OpContinuation, true, rsv1, hello), []string{"fail 1002"}},
		{"on a ping", rsvFrame(ws.OpPing, true, rsv1, ""), []string{"fail 1002"}},
		{"on a pong", rsvFrame(ws.OpPong, true, rsv1, ""), []string{"fail 1002"}},
		{"on a close frame", rsvFrame(ws.OpClose, true, rsv1, closeBody(1000, "")), []string{"fail 1002"}},
		{"on a reserved opcode", rsvFrame(3, true, rsv1, ""), []string{"fail 1002"}},
		{"by the first byte", "\xc9", []string{"fail 1002"}},
		{"with the second bit", rsvFrame(ws.OpText, true, rsv1|rsv2, hello), []string{"fail 1002"}},
		{"with the third bit", rsvFrame(ws.OpText, true, rsv1|rsv3, hello), []string{"fail 1002"}},
		{"the second bit alone", rsvFrame(ws.OpText, true, rsv2, hello), []string{"fail 1002"}},
		{"a new message among fragments", rsvFrame(ws.OpText, false, rsv1, hello) + rsvFrame(ws.OpText, true, rsv1, hello), []string{"fail 1002"}},
		{"as long as the limit when it is stored", rsvFrame(ws.OpBinary, true, rsv1, deflated(noise(testLimit), 0)), []string{fmt.Sprintf("compressed binary %q", noise(testLimit))}},
		{"longer on the wire than it may be", rsvFrame(ws.OpBinary, true, rsv1, strings.Repeat("\x00\x00\x00\xff\xff", testLimit/4))[:14], []string{"fail 1009"}},
		{"longer on the wire in fragments", rsvFrame(ws.OpBinary, false, rsv1, strings.Repeat("x", testLimit)) + frame(ws.OpContinuation, false, strings.Repeat("x", testLimit)), []string{"fail 1009"}},
		{"plain beyond the limit", frame(ws.OpBinary, true, strings.Repeat("x", testLimit+1)), []string{"fail 1009"}},
		{"inflated beyond the limit", rsvFrame(ws.OpBinary, true, rsv1, deflated(strings.Repeat("x", testLimit+1), 9)), []string{"fail 1009"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, n := range []int{0, 1, 2, 7} {
				require.Equal(t, tt.want, runDeflate(tt.stream, n), "in pieces of %d", n)
			}
		})
	}
}

// What one peer compresses in the worst way fits, if it fits plain.
func TestMaxCompressed(t *testing.T) {
	for _, n := range []int{0, 1, 100, 1000, 65535, 65536, 1 << 20} {
		for _, level := range []int{-2, 0, 1, 6, 9} {
			require.LessOrEqual(t, len(deflated(noise(n), level)), maxCompressed(n))
		}
	}
	// 31 bytes in each stored block, as zlib does with its least memory.
	var b strings.Builder
	for range 1000 {
		b.WriteString("\x00\x1f\x00\xe0\xff" + strings.Repeat("x", 31))
	}
	b.WriteString("\x00")
	require.LessOrEqual(t, b.Len(), maxCompressed(31_000)+31_000/20)
}

// Compression adds nothing to an idle connection: the flag is in what all who have
// nothing else to say share, and reader, inflater and buffers are lent.
func TestIdleMemoryWithCompression(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(Conn{}), uintptr(176))
	require.LessOrEqual(t, unsafe.Sizeof(identity{}), uintptr(64))
	opts := Options{Compression: Compression{Enabled: true, Threshold: 1}}
	m, _ := fakeManager(t, opts)
	got := 0
	m.callbacks.OnMessage = func(c *Conn, msg Message) error { got += len(msg.Payload); return c.Send(msg) }
	tr := newFakeTransport(1 << 20)
	c := m.newConn("c", Accept{}, nil, "fake")
	c.agreeDeflate()
	c.register(Accept{})
	c.attach(tr)
	defer func() { c.unregister(); c.release(); idle(t, m) }()
	require.Same(t, &anonymousDeflate, c.who)
	hello := rsvFrame(ws.OpText, true, rsv1, deflated(strings.Repeat("Hello ", 100), 6))
	require.NoError(t, c.consume([]byte(hello+hello)))
	require.Equal(t, 1200, got)
	require.Nil(t, c.frames, "nothing is read")
	require.Nil(t, c.out, "nothing waits")
	require.Less(t, tr.wrote.Len(), 100)
	require.EqualValues(t, 2, m.Stats().Compressed.In)
	require.EqualValues(t, 2, m.Stats().Compressed.Out)

	// In the middle of a message it holds what has come of it, and no inflater.
	require.NoError(t, c.consume([]byte(hello[:10])))
	require.LessOrEqual(t, cap(c.frames.msg), 512)
	require.NoError(t, c.consume([]byte(hello[10:])))
	require.Nil(t, c.frames)
}
