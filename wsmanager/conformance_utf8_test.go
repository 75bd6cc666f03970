package wsmanager_test

import (
	"fmt"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// goodTexts are valid UTF-8 (RFC 3629, section 4), with the first and the last character of
// each length and of each range.
var goodTexts = []struct{ name, text string }{
	{"ASCII", "Hello, world"},
	{"all lengths", "aä€😀"},
	{"a word of Greek", "κόσμε"},
	{"U+0000", "\x00"},
	{"U+007F", "\x7f"},
	{"U+0080", "\xc2\x80"},
	{"U+07FF", "\xdf\xbf"},
	{"U+0800", "\xe0\xa0\x80"},
	{"U+0FFF", "\xe0\xbf\xbf"},
	{"U+1000", "\xe1\x80\x80"},
	{"U+CFFF", "\xec\xbf\xbf"},
	{"U+D7FF, the last before the surrogates", "\xed\x9f\xbf"},
	{"U+E000, the first after the surrogates", "\xee\x80\x80"},
	{"U+FEFF, a byte order mark", "\xef\xbb\xbf"},
	{"U+FFFD", "\xef\xbf\xbd"},
	{"U+FFFE, a noncharacter", "\xef\xbf\xbe"},
	{"U+FFFF, a noncharacter", "\xef\xbf\xbf"},
	{"U+FDD0 to U+FDD1, noncharacters", "\xef\xb7\x90\xef\xb7\x91"},
	{"U+10000", "\xf0\x90\x80\x80"},
	{"U+1FFFE, a noncharacter", "\xf0\x9f\xbf\xbe"},
	{"U+3FFFF, a noncharacter", "\xf0\xbf\xbf\xbf"},
	{"U+40000", "\xf1\x80\x80\x80"},
	{"U+FFFFF, a noncharacter", "\xf3\xbf\xbf\xbf"},
	{"U+100000", "\xf4\x80\x80\x80"},
	{"U+10FFFF, the last", "\xf4\x8f\xbf\xbf"},
}

// badTexts are invalid UTF-8. bad is the index of the first invalid octet, or len(text) if
// the text is incomplete.
var badTexts = []struct {
	name, text string
	bad        int
}{
	{"a continuation alone, 80", "\x80", 0},
	{"a continuation alone, BF", "\xbf", 0},
	{"two continuations", "\x80\xbf", 0},
	{"a continuation after a character", "\xc3\xa4\x80", 2},
	{"an extra continuation", "a\xe2\x82\xac\xac", 4},
	{"C0, overlong", "\xc0\xaf", 0},
	{"C1, overlong", "\xc1\xbf", 0},
	{"C0 80, overlong U+0000", "\xc0\x80", 0},
	{"E0 80, overlong", "\xe0\x80\xaf", 1},
	{"E0 9F, overlong", "\xe0\x9f\xbf", 1},
	{"F0 80, overlong", "\xf0\x80\x80\xaf", 1},
	{"F0 8F, overlong", "\xf0\x8f\xbf\xbf", 1},
	{"five octets, overlong", "\xf8\x80\x80\x80\xaf", 0},
	{"six octets, overlong", "\xfc\x80\x80\x80\x80\xaf", 0},
	{"five octets", "\xf8\x88\x80\x80\x80", 0},
	{"five octets, the last", "\xfb\xbf\xbf\xbf\xbf", 0},
	{"six octets", "\xfc\x84\x80\x80\x80\x80", 0},
	{"six octets, the last", "\xfd\xbf\xbf\xbf\xbf\xbf", 0},
	{"U+110000", "\xf4\x90\x80\x80", 1},
	{"U+13FFFF", "\xf4\xbf\xbf\xbf", 1},
	{"F5", "\xf5\x80\x80\x80", 0},
	{"F7", "\xf7\xbf\xbf\xbf", 0},
	{"FE", "\xfe", 0},
	{"FF", "\xff", 0},
	{"FE FE FF FF", "\xfe\xfe\xff\xff", 0},
	{"U+D800, a surrogate", "\xed\xa0\x80", 1},
	{"U+DB7F, a surrogate", "\xed\xad\xbf", 1},
	{"U+DBFF, a surrogate", "\xed\xaf\xbf", 1},
	{"U+DC00, a surrogate", "\xed\xb0\x80", 1},
	{"U+DFFF, a surrogate", "\xed\xbf\xbf", 1},
	{"a pair of surrogates", "\xed\xa0\x80\xed\xb0\x80", 1},
	{"two octets, the second missing", "\xc3(", 1},
	{"three octets, the second missing", "\xe2(\xa1", 1},
	{"three octets, the third missing", "\xe2\x82(", 2},
	{"four octets, the second missing", "\xf0(\x8c\xbc", 1},
	{"four octets, the third missing", "\xf0\x90(\xbc", 2},
	{"four octets, the fourth missing", "\xf0\x9f\x98(", 3},
	{"a beginning behind a beginning", "\xc3\xc3\xa4", 1},
	{"Latin-1", "caf\xe9 au lait", 4},
	{"behind a good text", "κόσμε\xed\xa0\x80edited", 11},
	{"the end after one octet of two", "a\xc3", 2},
	{"the end after one octet of three", "\xe2", 1},
	{"the end after two octets of three", "\xe2\x82", 2},
	{"the end after one octet of four", "\xf0", 1},
	{"the end after two octets of four", "\xf0\x9f", 2},
	{"the end after three octets of four", "a\xf0\x9f\x98", 4},
}

// utf8Cases returns texts. An invalid text fails at its first invalid octet, before the
// rest of the frame or message arrives, and not earlier.
func utf8Cases(p peer) (cases []conformance) {
	for _, tt := range goodTexts {
		want := []wire{textOf(tt.text)}
		for size := 1; size <= 3; size++ {
			cases = append(cases, conformance{"5.6", fmt.Sprintf("%s, in fragments of %d", tt.name, size), p.parts(aText, tt.text, size), 0, want, 0})
		}
		cases = append(cases,
			conformance{"5.6", tt.name, p.text(tt.text), 0, want, 0},
			conformance{"5.6", tt.name + ", octet by octet", p.text(tt.text), 1, want, 0},
		)
	}
	for _, tt := range badTexts {
		cases = append(cases,
			conformance{"8.1", tt.name, p.text(tt.text), 0, nil, 1007},
			conformance{"8.1", tt.name + ", octet by octet", p.text(tt.text), 1, nil, 1007},
			conformance{"8.1", tt.name + ", in fragments", p.parts(aText, tt.text, 1), 0, nil, 1007},
			conformance{"5.6", tt.name + " in a binary message", p.binary(tt.text), 0, []wire{binaryOf(tt.text)}, 0},
		)
		good := tt.text[:tt.bad]
		if tt.bad == len(tt.text) { // only the end of the message is invalid
			cases = append(cases, conformance{"8.1", tt.name + ", and not before", p.frame(aText, good) + p.ping("still here") + p.frame(final, ""), 0, []wire{pongOf("still here")}, 1007})
			continue
		}
		bad := tt.text[tt.bad : tt.bad+1]
		cases = append(cases,
			conformance{"8.1", tt.name + ", at once", p.partialFrame(final|aText, 1000, good+bad), 0, nil, 1007},
			conformance{"8.1", tt.name + ", at once and not before", p.frame(aText, good) + p.ping("still here") + p.partialFrame(continuation, 1000, bad), 0, []wire{pongOf("still here")}, 1007},
		)
	}
	return cases
}

// A text fails at the first octet after which no continuation is valid. The test finds that
// octet by trial, for all sequences of four octets from all classes.
func TestUTF8FailsAtTheFirstBadOctet(t *testing.T) {
	kinds := []byte{0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf8, 0xff}
	hopeful := func(s []byte) bool {
		for _, end := range []string{"", "\x80", "\x80\x80", "\x80\x80\x80", "\xbf", "\xbf\xbf", "\xbf\xbf\xbf", "\x90\x80\x80", "\x90\x80"} {
			if utf8.Valid(append(s[:len(s):len(s)], end...)) {
				return true
			}
		}
		return false
	}
	var s [4]byte
	var try func(n int)
	try = func(n int) {
		for _, b := range kinds {
			s[n] = b
			ok, _ := wsmanager.CheckUTF8(s[:n+1])
			if ok != hopeful(s[:n+1]) {
				require.Fail(t, "failed at another octet than the first invalid one", "% x: %v", s[:n+1], ok)
			}
			if ok && n < 3 {
				try(n + 1)
			}
		}
	}
	try(0)
	for r := rune(0); r <= utf8.MaxRune; r++ {
		ok, complete := wsmanager.CheckUTF8([]byte(string(r))) // U+FFFD for a surrogate
		if !ok || !complete {
			require.Fail(t, "refused", "%U", r)
		}
	}
}
