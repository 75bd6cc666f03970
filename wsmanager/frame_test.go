package wsmanager

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/stretchr/testify/require"
)

// events notes what a frameReader finds.
type events struct {
	got   []string
	limit int // of what is inflated; 0: testLimit

	takes  func() bool  // whether the reader is taken during a message; nil: never
	reader *frameReader // then
	rest   []byte       // what it had not read when it was taken
}

// taken is what a message's callback leads to.
func (e *events) taken() error {
	if e.takes == nil || !e.takes() {
		return nil
	}
	rest := e.reader.rest
	e.reader.rest, e.rest = nil, bytes.Clone(rest)
	clear(rest) // nobody may look at it any more
	return errTaken
}

func (e *events) onData(t MessageType, p []byte, _ bool) error {
	e.got = append(e.got, fmt.Sprintf("%v %q", t, p))
	return e.taken()
}
func (e *events) onCompressed(t MessageType, p []byte, _ bool) error {
	limit := e.limit
	if limit == 0 {
		limit = testLimit
	}
	p, err := inflate(nil, p, t, limit)
	if err != nil {
		return err
	}
	e.got = append(e.got, fmt.Sprintf("compressed %v %q", t, p))
	return e.taken()
}
func (e *events) onPing(p []byte) error {
	e.got = append(e.got, fmt.Sprintf("ping %q", p))
	return nil
}
func (e *events) onPong(p []byte) error {
	e.got = append(e.got, fmt.Sprintf("pong %q", p))
	return nil
}
func (e *events) onCloseFrame(code StatusCode, reason string) error {
	e.got = append(e.got, fmt.Sprintf("close %d %q", code, reason))
	return errEnded
}

// run feeds the bytes in pieces of n (all at once if n is 0) and returns the
// events, the end among them.
func run(stream []byte, n, limit int) []string {
	got, _ := feedAll(&frameReader{masked: true, limit: limit}, stream, n)
	return got
}

// feedAll feeds fr and returns the events, and the most that it held at a time.
func feedAll(fr *frameReader, stream []byte, n int) (got []string, held int) {
	return feedTaken(fr, stream, n, nil)
}

// feedTaken is feedAll for a reader that is taken during some of its messages.
func feedTaken(fr *frameReader, stream []byte, n int, takes func() bool) (got []string, held int) {
	e := events{limit: fr.limit, takes: takes, reader: fr}
	if n == 0 {
		n = max(1, len(stream))
	}
	for i := 0; i < len(stream); i += n {
		piece := bytes.Clone(stream[i:min(i+n, len(stream))]) // feed changes it
		_, err := fr.feed(piece, &e)
		for err == errTaken {
			rest := e.rest
			_, err = fr.feed(rest, &e)
		}
		held = max(held, cap(fr.msg)+cap(fr.ctl))
		if err != nil {
			var ce *CloseError
			if errors.As(err, &ce) {
				e.got = append(e.got, fmt.Sprintf("fail %d", ce.Code))
			} else if !errors.Is(err, errEnded) {
				e.got = append(e.got, err.Error())
			}
			break
		}
	}
	return e.got, held
}

// frame is a masked frame.
func frame(op ws.OpCode, fin bool, payload string) string {
	return string(ws.MustCompileFrame(ws.MaskFrameInPlaceWith(ws.NewFrame(op, fin, []byte(payload)), [4]byte{1, 2, 3, 250})))
}

func closeBody(code ws.StatusCode, reason string) string {
	return string(ws.NewCloseFrameBody(code, reason))
}

// frameCases are byte streams and what they mean. They seed FuzzMessages.
var frameCases = []struct {
	name   string
	stream string
	want   []string
}{
	{"nothing", "", nil},
	{"a text", frame(ws.OpText, true, "hello"), []string{`text "hello"`}},
	{"an empty text", frame(ws.OpText, true, ""), []string{`text ""`}},
	{"two in a row", frame(ws.OpText, true, "a") + frame(ws.OpBinary, true, "\xff"), []string{`text "a"`, `binary "\xff"`}},
	{"125 bytes", frame(ws.OpBinary, true, strings.Repeat("x", 125)), []string{`binary "` + strings.Repeat("x", 125) + `"`}},
	{"126 bytes", frame(ws.OpBinary, true, strings.Repeat("x", 126)), []string{`binary "` + strings.Repeat("x", 126) + `"`}},
	{"65536 bytes", frame(ws.OpBinary, true, strings.Repeat("x", 65536)), []string{`binary "` + strings.Repeat("x", 65536) + `"`}},
	{"fragments", frame(ws.OpText, false, "he") + frame(ws.OpContinuation, false, "") + frame(ws.OpContinuation, true, "llo"), []string{`text "hello"`}},
	{"control frames between fragments", frame(ws.OpText, false, "he") + frame(ws.OpPing, true, "p") + frame(ws.OpContinuation, true, "llo"), []string{`ping "p"`, `text "hello"`}},
	{"a character over two fragments", frame(ws.OpText, false, "\xc3") + frame(ws.OpContinuation, true, "\xa4"), []string{`text "ä"`}},
	{"ping", frame(ws.OpPing, true, "abc"), []string{`ping "abc"`}},
	{"pong", frame(ws.OpPong, true, ""), []string{`pong ""`}},
	{"ping of 125 bytes", frame(ws.OpPing, true, strings.Repeat("p", 125)), []string{`ping "` + strings.Repeat("p", 125) + `"`}},
	{"close without code", frame(ws.OpClose, true, ""), []string{`close 1005 ""`}},
	{"close", frame(ws.OpClose, true, closeBody(1000, "bye")) + "anything", []string{`close 1000 "bye"`}},
	{"close 3000", frame(ws.OpClose, true, closeBody(3000, "")), []string{`close 3000 ""`}},
	{"close 1012", frame(ws.OpClose, true, closeBody(1012, "")), []string{`close 1012 ""`}},

	{"unmasked", string(ws.MustCompileFrame(ws.NewTextFrame([]byte("hello")))), []string{"fail 1002"}},
	{"reserved bit 1", "\xc1\x80abcd", []string{"fail 1002"}},
	{"reserved bit 2", "\xa1\x80abcd", []string{"fail 1002"}},
	{"reserved bit 3", "\x91\x80abcd", []string{"fail 1002"}},
	{"reserved opcode 3", frame(3, true, ""), []string{"fail 1002"}},
	{"reserved opcode 15", frame(15, true, ""), []string{"fail 1002"}},
	{"reserved opcode, by its first byte", "\x83", []string{"fail 1002"}},
	{"ping of 126 bytes", frame(ws.OpPing, true, strings.Repeat("p", 126)), []string{"fail 1002"}},
	{"ping too long, by its second byte", "\x89\xfe", []string{"fail 1002"}},
	{"ping in fragments", frame(ws.OpPing, false, ""), []string{"fail 1002"}},
	{"continuation of nothing", frame(ws.OpContinuation, true, "x"), []string{"fail 1002"}},
	{"continuation after the end", frame(ws.OpText, true, "x") + frame(ws.OpContinuation, true, "x"), []string{`text "x"`, "fail 1002"}},
	{"a new message among fragments", frame(ws.OpText, false, "x") + frame(ws.OpText, true, "x"), []string{"fail 1002"}},
	{"length in 16 bits without need", "\x82\xfe\x00\x7dabcd", []string{"fail 1002"}},
	{"length in 64 bits without need", "\x82\xff\x00\x00\x00\x00\x00\x00\xff\xffabcd", []string{"fail 1002"}},
	{"length with its top bit", "\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00abcd", []string{"fail 1002"}},
	{"length of 2^63-1", "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xffabcd", []string{"fail 1009"}},
	{"close of one byte", frame(ws.OpClose, true, "\x03"), []string{"fail 1002"}},
	{"close 1005", frame(ws.OpClose, true, closeBody(1005, "")), []string{"fail 1002"}},
	{"close 1004", frame(ws.OpClose, true, closeBody(1004, "")), []string{"fail 1002"}},
	{"close 999", frame(ws.OpClose, true, closeBody(999, "")), []string{"fail 1002"}},
	{"close 2000", frame(ws.OpClose, true, closeBody(2000, "")), []string{"fail 1002"}},
	{"close 5000", frame(ws.OpClose, true, closeBody(5000, "")), []string{"fail 1002"}},
	{"close with a bad reason", frame(ws.OpClose, true, closeBody(1000, "\xff")), []string{"fail 1007"}},
	{"bad UTF-8", frame(ws.OpText, true, "caf\xe9"), []string{"fail 1007"}},
	{"bad UTF-8, before the frame is whole", frame(ws.OpText, true, "\xff"+strings.Repeat("x", 50))[:8], []string{"fail 1007"}},
	{"half a character at the end", frame(ws.OpText, true, "\xc3"), []string{"fail 1007"}},
	{"a surrogate", frame(ws.OpText, true, "\xed\xa0\x80"), []string{"fail 1007"}},
	{"bad UTF-8 in a binary is fine", frame(ws.OpBinary, true, "\xff"), []string{`binary "\xff"`}},
}

const testLimit = 65536

func TestFrames(t *testing.T) {
	for _, tt := range frameCases {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, run([]byte(tt.stream), 0, testLimit), "at once")
			for _, n := range []int{1, 2, 3, 7} {
				require.Equal(t, tt.want, run([]byte(tt.stream), n, testLimit), "in pieces of %d", n)
			}
		})
	}
}

func TestMessageLimit(t *testing.T) {
	for _, tt := range []struct {
		name, stream string
		want         []string
	}{
		{"at the limit", frame(ws.OpBinary, true, "0123456789"), []string{`binary "0123456789"`}},
		{"above, by the header", frame(ws.OpBinary, true, "0123456789a")[:6], []string{"fail 1009"}},
		{"fragments at the limit", frame(ws.OpBinary, false, "01234") + frame(ws.OpContinuation, true, "56789"), []string{`binary "0123456789"`}},
		{"fragments above", frame(ws.OpBinary, false, "01234") + frame(ws.OpContinuation, false, "567890"), []string{"fail 1009"}},
		{"control frames don't count", frame(ws.OpBinary, false, "01234") + frame(ws.OpPing, true, strings.Repeat("p", 125)) + frame(ws.OpContinuation, true, ""), []string{`ping "` + strings.Repeat("p", 125) + `"`, `binary "01234"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, n := range []int{0, 1} {
				require.Equal(t, tt.want, run([]byte(tt.stream), n, 10))
			}
		})
	}
}

// A header that promises much allocates nothing.
func TestBufferGrowsWithWhatArrives(t *testing.T) {
	fr := frameReader{masked: true, limit: 16 << 20}
	_, err := fr.feed([]byte("\x82\xff\x00\x00\x00\x00\x00\xff\xff\xffabcd12345"), &events{})
	require.NoError(t, err)
	require.LessOrEqual(t, cap(fr.msg), 512)
	_, err = fr.feed(make([]byte, 100<<10), &events{})
	require.NoError(t, err)
	require.LessOrEqual(t, cap(fr.msg), 300<<10)
}

func TestAppendFrameAgreesWithGobwas(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 70000} {
		p := bytes.Repeat([]byte{'x'}, n)
		require.Equal(t, ws.MustCompileFrame(ws.NewBinaryFrame(p)), appendFrame(nil, ws.OpBinary, p))
		require.Len(t, appendFrame(nil, ws.OpBinary, p), frameSize(n))
	}
}

func TestUTF8Check(t *testing.T) {
	// Every way to cut every text must agree with the standard library.
	for _, s := range []string{"", "a", "ä", "€", "😀", "aä€😀z", "\x80", "\xc0\x80", "\xc2", "\xe0\x80\x80", "\xe0\xa0", "\xed\x9f\xbf", "\xed\xa0\x80", "\xf0\x80\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5", "\xff", "a\xc3(", "xxxxx\xe2\x82"} {
		for i := 0; i <= len(s); i++ {
			for j := i; j <= len(s); j++ {
				var c utf8Check
				ok := c.feed([]byte(s[:i])) && c.feed([]byte(s[i:j])) && c.feed([]byte(s[j:])) && c.complete()
				require.Equal(t, utf8.ValidString(s), ok, "%q cut at %d and %d", s, i, j)
			}
		}
	}
	for _, bad := range []string{"\xc0", "\xe0\x9f", "\xed\xa0", "\xf0\x8f", "\xf4\x90", "\xf5", "\xc3\x28", "\xe2\x82\x28"} {
		var c utf8Check
		require.False(t, c.feed([]byte(bad)), "%q fails at its last byte", bad)
	}
}

// checkHeader holds the header codec against gobwas.
func checkHeader(t *testing.T, p []byte) {
	h, n, err := parseHeader(p, true)
	want, wantErr := ws.ReadHeader(bytes.NewReader(p))
	switch {
	case err != nil:
		// Ours is stricter about lengths and nothing else.
		if !errors.Is(err, errLengthNotMinimal) && wantErr == nil {
			t.Fatalf("we fail with %v, gobwas reads %+v", err, want)
		}
	case n == 0:
		if wantErr == nil {
			t.Fatalf("we want more than gobwas: %+v", want)
		}
		if !errors.Is(wantErr, io.EOF) && !errors.Is(wantErr, io.ErrUnexpectedEOF) {
			t.Fatalf("we want more, gobwas fails with %v", wantErr)
		}
	default:
		require.NoError(t, wantErr)
		require.Equal(t, want, h)
		require.Equal(t, ws.HeaderSize(h), n)
	}
}

// gobwas reads a stream as the reader of gobwas/ws does and returns its events in
// the same words as run, up to the first error, for which it says whether it was one
// of the protocol; an end of the stream is none.
func gobwas(stream []byte, limit int) (got []string, failed bool) {
	src := bytes.NewReader(stream)
	var stop error // a control frame ended it
	control := func(h ws.Header, r io.Reader) error {
		p, err := io.ReadAll(r)
		if err == nil && len(p) < int(h.Length) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		switch h.OpCode {
		case ws.OpPing:
			got = append(got, fmt.Sprintf("ping %q", p))
		case ws.OpPong:
			got = append(got, fmt.Sprintf("pong %q", p))
		default:
			code, reason := ws.ParseCloseFrameData(p)
			switch {
			case len(p) == 0:
				got, stop = append(got, `close 1005 ""`), errEnded
			case code >= 1012 && code <= 1014 && utf8.ValidString(reason): // registered since gobwas's list
				got, stop = append(got, fmt.Sprintf("close %d %q", code, reason)), errEnded
			case code >= 5000: // gobwas lets them pass; RFC 6455, section 7.4.2, has no such
				stop = ws.ErrProtocolStatusCodeUnknown
			case ws.CheckCloseFrameData(code, reason) != nil:
				stop = ws.CheckCloseFrameData(code, reason)
			default:
				got, stop = append(got, fmt.Sprintf("close %d %q", code, reason)), errEnded
			}
			return stop
		}
		return nil
	}
	r := wsutil.Reader{Source: src, State: ws.StateServerSide, CheckUTF8: true, MaxMessageSize: int64(limit), OnIntermediate: control}
	for {
		h, err := r.NextFrame()
		if err == nil && h.OpCode.IsControl() {
			err = control(h, &r)
			if err == nil && h.Length == 0 {
				err = r.Discard()
			}
		} else if err == nil {
			var p []byte
			if p, err = io.ReadAll(&r); err == nil {
				got = append(got, fmt.Sprintf("%v %q", MessageType(h.OpCode), p))
			}
		}
		switch {
		case err == nil:
		case stop == errEnded || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return got, false
		default:
			return got, true
		}
	}
}

// FuzzMessages holds the headers, the assembly of messages, their control frames and
// their failures against gobwas's reader. What both have read must be the same. Where
// they fail we fail; we alone fail on lengths that are not in their shortest form,
// and, where the stream ends too soon for them, on bytes that are bad before they
// are whole.
func FuzzMessages(f *testing.F) {
	for _, tt := range frameCases {
		if len(tt.stream) < 1000 {
			f.Add([]byte(tt.stream))
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		checkHeader(t, stream)
		const limit = 1000
		fr := frameReader{masked: true, limit: limit}
		var ours events
		_, err := fr.feed(bytes.Clone(stream), &ours)
		theirs, theyFail := gobwas(stream, limit)
		both := min(len(ours.got), len(theirs))
		for i := range both {
			require.Equal(t, theirs[i], ours.got[i], "event %d", i)
		}
		weFail := err != nil && !errors.Is(err, errEnded)
		switch {
		case errors.Is(err, errLengthNotMinimal):
			require.Len(t, ours.got, both, "they have read on")
		case theyFail:
			require.True(t, weFail, "gobwas fails after %q, we do not", theirs)
			require.Len(t, ours.got, len(theirs))
		default: // where we fail, they wait for more
			require.Len(t, ours.got, len(theirs), "we end with %v", err)
		}
	})
}

// A pooled slice of the registry kept connections alive that were long gone.
func TestSnapshotsKeptConnectionsAlive(t *testing.T) {
	var r registry
	r.init()
	for i := range 1000 {
		r.add(&Conn{id: fmt.Sprint(i)})
	}
	seen := 0
	for range walk(&r) {
		seen++
	}
	require.Equal(t, 1000, seen)
	buf := snapshots.Get().(*[]recipient)
	for _, r := range (*buf)[:cap(*buf)] {
		require.Zero(t, r)
	}
	snapshots.Put(buf)
}

// Every first and second byte, with all kinds of lengths, cut everywhere: no panic,
// and not a byte of memory for what a header only promises.
func TestEveryHeader(t *testing.T) {
	lengths := []uint64{0, 1, 125, 126, 1<<16 - 1, 1 << 16, testLimit, testLimit + 1, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1<<62 - 1, 1<<63 - 1, 1 << 63, 1<<64 - 1}
	feed := func(header []byte) error {
		for n := 1; n <= len(header); n++ {
			fr := frameReader{masked: true, limit: testLimit}
			_, err := fr.feed(bytes.Clone(header[:n]), &events{})
			require.Zero(t, cap(fr.msg)+cap(fr.ctl), "% x", header[:n])
			if err != nil {
				return err
			}
		}
		return nil
	}
	good := 0
	for first := range 256 {
		for second := range 256 {
			kinds := lengths[:1]
			if second&0x7f >= 126 {
				kinds = lengths
			}
			for _, length := range kinds {
				header := []byte{byte(first), byte(second)}
				switch second & 0x7f {
				case 126:
					header = binary.BigEndian.AppendUint16(header, uint16(length))
				case 127:
					header = binary.BigEndian.AppendUint64(header, length)
				}
				if second&0x80 != 0 {
					header = append(header, 1, 2, 3, 4)
				}
				err := feed(header)
				if err == nil {
					good++
					continue
				}
				var ce *CloseError
				if !errors.Is(err, errEnded) { // an empty close frame
					require.ErrorAs(t, err, &ce)
					require.Contains(t, []StatusCode{1002, 1009}, ce.Code)
				}
			}
		}
	}
	// Texts and binaries, whole or the first of several: 0 to 125 bytes, 4 of the
	// lengths above in 16 bits and 2 in 64. Pings and pongs up to 125, and a close
	// frame of 1 to 125 that has not come.
	require.Equal(t, 4*(126+lengths16(lengths)+lengths64(lengths))+2*126+125, good)
}

// lengths16 and lengths64 count those that are right in 16 and in 64 bits.
func lengths16(lengths []uint64) (n int) {
	for _, l := range lengths {
		if uint16(l) >= 126 {
			n++
		}
	}
	return n
}

func lengths64(lengths []uint64) (n int) {
	for _, l := range lengths {
		if l >= 1<<16 && l <= testLimit {
			n++
		}
	}
	return n
}
