package backoff

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Delays are between 0 and the bound, and some are in the upper half of it.
func TestDelay(t *testing.T) {
	p := Policy{Min: time.Second, Max: 10 * time.Second, Factor: 3}
	for _, tt := range []struct {
		failures         int
		requested, least time.Duration
		most             time.Duration
	}{
		{1, 0, 0, time.Second},
		{2, 0, 0, 3 * time.Second},
		{3, 0, 0, 9 * time.Second},
		{4, 0, 0, 10 * time.Second},
		{1 << 30, 0, 0, 10 * time.Second},
		{1, 5 * time.Second, 5 * time.Second, 5 * time.Second},
		{4, 5 * time.Second, 5 * time.Second, 10 * time.Second},
		{1, time.Hour, 10 * time.Second, 10 * time.Second},
	} {
		longest := time.Duration(0)
		for range 1000 {
			d := p.Delay(tt.failures, tt.requested)
			require.GreaterOrEqual(t, d, tt.least)
			require.LessOrEqual(t, d, tt.most)
			longest = max(longest, d)
		}
		require.Greater(t, longest, tt.most/2)
	}
}

func TestRetryAfter(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"7":                             7 * time.Second,
		"-7":                            0,
		"seven":                         0,
		"Wed, 21 Oct 2026 07:28:00 GMT": 0,
		"99999999999999999999":          1 << 30 * time.Second,
		"-99999999999999999999":         0,
	} {
		require.Equal(t, want, RetryAfter(http.Header{"Retry-After": {value}}), value)
	}
	require.Zero(t, RetryAfter(nil))
}
