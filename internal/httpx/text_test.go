package httpx_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

func TestTruncate(t *testing.T) {
	for _, tt := range []struct {
		s     string
		limit int
		want  string
	}{
		{"", 4, ""},
		{"four", 4, "four"},
		{"fives", 4, "five …"},
		{"caféx", 4, "caf …"}, // é has two bytes, of which one fits
		{"a\xffb", 5, "a\uFFFDb"},
		{"abc", 0, " …"},
	} {
		require.Equal(t, tt.want, httpx.Truncate(tt.s, tt.limit), "%q", tt.s)
	}
	long := "a text that is short enough"
	require.Zero(t, testing.AllocsPerRun(10, func() { _ = httpx.Truncate(long, 64) }))
}
