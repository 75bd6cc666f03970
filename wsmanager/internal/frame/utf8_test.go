package frame_test

import (
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
)

func TestUTF8(t *testing.T) {
	// Every split of every text must agree with the standard library.
	for _, s := range []string{"", "a", "ä", "€", "😀", "aä€😀z", "\x80", "\xc0\x80", "\xc2", "\xe0\x80\x80", "\xe0\xa0", "\xed\x9f\xbf", "\xed\xa0\x80", "\xf0\x80\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5", "\xff", "a\xc3(", "xxxxx\xe2\x82"} {
		for i := 0; i <= len(s); i++ {
			for j := i; j <= len(s); j++ {
				var c frame.UTF8
				ok := c.Feed([]byte(s[:i])) && c.Feed([]byte(s[i:j])) && c.Feed([]byte(s[j:])) && c.Complete()
				require.Equal(t, utf8.ValidString(s), ok, "%q cut at %d and %d", s, i, j)
			}
		}
	}
	for _, bad := range []string{"\xc0", "\xe0\x9f", "\xed\xa0", "\xf0\x8f", "\xf4\x90", "\xf5", "\xc3\x28", "\xe2\x82\x28"} {
		var c frame.UTF8
		require.False(t, c.Feed([]byte(bad)), "%q fails at its last byte", bad)
	}
}
