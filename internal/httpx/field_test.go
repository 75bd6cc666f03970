package httpx_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

func TestIsToken(t *testing.T) {
	for s, want := range map[string]bool{
		"":                 false,
		"chat":             true,
		"X-Request-Id":     true,
		"!#$%&'*+-.^_`|~0": true,
		"a b":              false,
		"a:b":              false,
		"a\tb":             false,
		"a\x7f":            false,
		"café":             false,
		`"quoted"`:         false,
		"a,b":              false,
	} {
		require.Equal(t, want, httpx.IsToken(s), "%q", s)
	}
}

func TestCharacterClasses(t *testing.T) {
	for c := range 256 {
		alphanumeric := strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", rune(c))
		require.Equal(t, alphanumeric, httpx.IsAlphanumeric(byte(c)), "%#x", c)
		// RFC 9110, section 5.6.2: any VCHAR, except delimiters.
		token := '!' <= c && c <= '~' && !strings.ContainsRune(`(),/:;<=>?@[\]{}"`, rune(c))
		require.Equal(t, token, httpx.IsTokenChar(byte(c)), "%#x", c)
		require.Equal(t, c < 0x20 || c == 0x7f, httpx.IsControl(rune(c)), "%#x", c)
	}
	require.False(t, httpx.IsControl('é'))
}

func TestIsFieldValue(t *testing.T) {
	for s, want := range map[string]bool{
		"":              true,
		"plain text":    true,
		"tab\tbetween":  true,
		"café":          true,
		"a\r\nX-Evil: ": false,
		"a\nb":          false,
		"a\x00b":        false,
		"a\x7fb":        false,
	} {
		require.Equal(t, want, httpx.IsFieldValue(s), "%q", s)
	}
}

func TestListItems(t *testing.T) {
	for _, tt := range []struct {
		lines []string
		want  []string
	}{
		{nil, nil},
		{[]string{""}, nil},
		{[]string{"a"}, []string{"a"}},
		{[]string{" a ,\tb"}, []string{"a", "b"}},
		{[]string{"a,,b", "", ", c"}, []string{"a", "b", "c"}},
		{[]string{"a b"}, []string{"a b"}},
	} {
		require.Equal(t, tt.want, slices.Collect(httpx.ListItems(tt.lines)), "%q", tt.lines)
	}
	for item := range httpx.ListItems([]string{"a, b", "c"}) {
		require.Equal(t, "a", item)
		break
	}
}

func TestListContains(t *testing.T) {
	lines := []string{"keep-alive , Upgrade", "h2c"}
	for token, want := range map[string]bool{"upgrade": true, "KEEP-ALIVE": true, "h2c": true, "up": false, "": false} {
		require.Equal(t, want, httpx.ListContains(lines, token), "%q", token)
	}
}
