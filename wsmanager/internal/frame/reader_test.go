package frame_test

import (
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame/frametest"
)

// streams are byte streams of a client and the events in them. They seed FuzzMessages.
var streams = []struct {
	name   string
	stream string
	want   []string
}{
	{"nothing", "", nil},
	{"a text", frametest.Frame(ws.OpText, true, "hello"), []string{`text "hello"`}},
	{"an empty text", frametest.Frame(ws.OpText, true, ""), []string{`text ""`}},
	{"two in a row", frametest.Frame(ws.OpText, true, "a") + frametest.Frame(ws.OpBinary, true, "\xff"), []string{`text "a"`, `binary "\xff"`}},
	{"125 bytes", frametest.Frame(ws.OpBinary, true, strings.Repeat("x", 125)), []string{`binary "` + strings.Repeat("x", 125) + `"`}},
	{"126 bytes", frametest.Frame(ws.OpBinary, true, strings.Repeat("x", 126)), []string{`binary "` + strings.Repeat("x", 126) + `"`}},
	{"65536 bytes", frametest.Frame(ws.OpBinary, true, strings.Repeat("x", 65536)), []string{`binary "` + strings.Repeat("x", 65536) + `"`}},
	{"fragments", frametest.Frame(ws.OpText, false, "he") + frametest.Frame(ws.OpContinuation, false, "") + frametest.Frame(ws.OpContinuation, true, "llo"), []string{`text "hello"`}},
	{"control frames between fragments", frametest.Frame(ws.OpText, false, "he") + frametest.Frame(ws.OpPing, true, "p") + frametest.Frame(ws.OpContinuation, true, "llo"), []string{`ping "p"`, `text "hello"`}},
	{"a character over two fragments", frametest.Frame(ws.OpText, false, "\xc3") + frametest.Frame(ws.OpContinuation, true, "\xa4"), []string{`text "ä"`}},
	{"ping", frametest.Frame(ws.OpPing, true, "abc"), []string{`ping "abc"`}},
	{"pong", frametest.Frame(ws.OpPong, true, ""), []string{`pong ""`}},
	{"ping of 125 bytes", frametest.Frame(ws.OpPing, true, strings.Repeat("p", 125)), []string{`ping "` + strings.Repeat("p", 125) + `"`}},
	{"close without code", frametest.Frame(ws.OpClose, true, ""), []string{`close 1005 ""`}},
	{"close", frametest.Frame(ws.OpClose, true, frametest.CloseBody(1000, "bye")) + "anything", []string{`close 1000 "bye"`}},
	{"close 3000", frametest.Frame(ws.OpClose, true, frametest.CloseBody(3000, "")), []string{`close 3000 ""`}},
	{"close 1012", frametest.Frame(ws.OpClose, true, frametest.CloseBody(1012, "")), []string{`close 1012 ""`}},

	{"unmasked", string(ws.MustCompileFrame(ws.NewTextFrame([]byte("hello")))), []string{"fail 1002"}},
	{"reserved bit 1", "\xc1\x80abcd", []string{"fail 1002"}},
	{"reserved bit 2", "\xa1\x80abcd", []string{"fail 1002"}},
	{"reserved bit 3", "\x91\x80abcd", []string{"fail 1002"}},
	{"reserved opcode 3", frametest.Frame(3, true, ""), []string{"fail 1002"}},
	{"reserved opcode 15", frametest.Frame(15, true, ""), []string{"fail 1002"}},
	{"reserved opcode, by its first byte", "\x83", []string{"fail 1002"}},
	{"ping of 126 bytes", frametest.Frame(ws.OpPing, true, strings.Repeat("p", 126)), []string{"fail 1002"}},
	{"ping too long, by its second byte", "\x89\xfe", []string{"fail 1002"}},
	{"ping in fragments", frametest.Frame(ws.OpPing, false, ""), []string{"fail 1002"}},
	{"continuation of nothing", frametest.Frame(ws.OpContinuation, true, "x"), []string{"fail 1002"}},
	{"continuation after the end", frametest.Frame(ws.OpText, true, "x") + frametest.Frame(ws.OpContinuation, true, "x"), []string{`text "x"`, "fail 1002"}},
	{"a new message among fragments", frametest.Frame(ws.OpText, false, "x") + frametest.Frame(ws.OpText, true, "x"), []string{"fail 1002"}},
	{"length in 16 bits without need", "\x82\xfe\x00\x7dabcd", []string{"fail 1002"}},
	{"length in 64 bits without need", "\x82\xff\x00\x00\x00\x00\x00\x00\xff\xffabcd", []string{"fail 1002"}},
	{"length with its top bit", "\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00abcd", []string{"fail 1002"}},
	{"length of 2^63-1", "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xffabcd", []string{"fail 1009"}},
	{"close of one byte", frametest.Frame(ws.OpClose, true, "\x03"), []string{"fail 1002"}},
	{"close 1005", frametest.Frame(ws.OpClose, true, frametest.CloseBody(1005, "")), []string{"fail 1002"}},
	{"close 1004", frametest.Frame(ws.OpClose, true, frametest.CloseBody(1004, "")), []string{"fail 1002"}},
	{"close 999", frametest.Frame(ws.OpClose, true, frametest.CloseBody(999, "")), []string{"fail 1002"}},
	{"close 2000", frametest.Frame(ws.OpClose, true, frametest.CloseBody(2000, "")), []string{"fail 1002"}},
	{"close 5000", frametest.Frame(ws.OpClose, true, frametest.CloseBody(5000, "")), []string{"fail 1002"}},
	{"close with a bad reason", frametest.Frame(ws.OpClose, true, frametest.CloseBody(1000, "\xff")), []string{"fail 1007"}},
	{"bad UTF-8", frametest.Frame(ws.OpText, true, "caf\xe9"), []string{"fail 1007"}},
	{"bad UTF-8, before the frame is whole", frametest.Frame(ws.OpText, true, "\xff"+strings.Repeat("x", 50))[:8], []string{"fail 1007"}},
	{"half a character at the end", frametest.Frame(ws.OpText, true, "\xc3"), []string{"fail 1007"}},
	{"a surrogate", frametest.Frame(ws.OpText, true, "\xed\xa0\x80"), []string{"fail 1007"}},
	{"bad UTF-8 in a binary is fine", frametest.Frame(ws.OpBinary, true, "\xff"), []string{`binary "\xff"`}},
}

const testLimit = 65536

// reader returns a server's reader with a limit of messages.
func reader(limit int) *frame.Reader {
	return frame.GetReader(frame.Config{Masked: true, Limit: limit})
}

// run returns the events of a stream that is fed in pieces of n bytes, all at once if n
// is 0.
func run(stream string, n, limit int) []string {
	events, _ := (&frametest.Recorder{}).Record(reader(limit), []byte(stream), n)
	return events
}

func TestFrames(t *testing.T) {
	for _, tt := range streams {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, run(tt.stream, 0, testLimit), "at once")
			for _, n := range []int{1, 2, 3, 7} {
				require.Equal(t, tt.want, run(tt.stream, n, testLimit), "in pieces of %d", n)
			}
		})
	}
}

func TestMessageLimit(t *testing.T) {
	for _, tt := range []struct {
		name, stream string
		want         []string
	}{
		{"at the limit", frametest.Frame(ws.OpBinary, true, "0123456789"), []string{`binary "0123456789"`}},
		{"above, by the header", frametest.Frame(ws.OpBinary, true, "0123456789a")[:6], []string{"fail 1009"}},
		{"fragments at the limit", frametest.Frame(ws.OpBinary, false, "01234") + frametest.Frame(ws.OpContinuation, true, "56789"), []string{`binary "0123456789"`}},
		{"fragments above", frametest.Frame(ws.OpBinary, false, "01234") + frametest.Frame(ws.OpContinuation, false, "567890"), []string{"fail 1009"}},
		{"control frames don't count", frametest.Frame(ws.OpBinary, false, "01234") + frametest.Frame(ws.OpPing, true, strings.Repeat("p", 125)) + frametest.Frame(ws.OpContinuation, true, ""), []string{`ping "` + strings.Repeat("p", 125) + `"`, `binary "01234"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, n := range []int{0, 1} {
				require.Equal(t, tt.want, run(tt.stream, n, 10))
			}
		})
	}
}

// A header that announces a long payload allocates nothing.
func TestBufferGrowsWithWhatArrives(t *testing.T) {
	r := reader(16 << 20)
	_, err := r.Feed([]byte("\x82\xff\x00\x00\x00\x00\x00\xff\xff\xffabcd12345"), &frametest.Recorder{})
	require.NoError(t, err)
	require.LessOrEqual(t, r.Buffered(), 512)
	_, err = r.Feed(make([]byte, 100<<10), &frametest.Recorder{})
	require.NoError(t, err)
	require.LessOrEqual(t, r.Buffered(), 300<<10)
}
