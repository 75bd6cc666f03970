package timewheel

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTick32IsExactNearNow(t *testing.T) {
	for _, now := range []int64{0, 1, 1000, math.MaxInt32, math.MaxUint32, math.MaxUint32 + 1, 1 << 40} {
		for _, d := range []int64{0, 1, -1, 1 << 30, -1 << 30, math.MaxInt32, math.MinInt32} {
			require.Equal(t, now+d, Tick32(now+d).Near(now), "%d ticks from %d", d, now)
		}
	}
}
