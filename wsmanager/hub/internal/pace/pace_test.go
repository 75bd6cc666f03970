package pace

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestGauge(t *testing.T) {
	repeat := func(n int, ds ...time.Duration) (all []time.Duration) {
		for range n {
			all = append(all, ds...)
		}
		return all
	}
	for _, tt := range []struct {
		name  string
		calls []time.Duration
		short bool
	}{
		{"unknown", nil, false},
		{"one short call", repeat(1, time.Microsecond), true},
		{"one call of no measurable time", repeat(1, 0), true},
		{"one that blocks", repeat(1, time.Minute), false},
		{"preempted once in 32", repeat(100, append(repeat(31, time.Microsecond), 10*time.Millisecond)...), true},
		{"one of four blocks", repeat(100, append(repeat(3, time.Microsecond), 10*time.Millisecond)...), false},
		{"begins to block", append(repeat(1000, time.Microsecond), repeat(3, time.Second)...), false},
		{"blocks no more", append(repeat(1000, time.Second), repeat(40, time.Microsecond)...), true},
		{"computes", repeat(100, 100*time.Microsecond), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var g Gauge
			for _, d := range tt.calls {
				g.Record(d)
			}
			require.Equal(t, tt.short, g.IsShort())
		})
	}
}
