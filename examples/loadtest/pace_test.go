package main

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPace(t *testing.T) {
	p := pace{rate: 4}
	require.Equal(t, 750*time.Millisecond, p.at(3))
	for now, want := range map[time.Duration]uint64{0: 1, 249 * time.Millisecond: 1, 250 * time.Millisecond: 2, time.Second: 5} {
		require.Equal(t, want, p.by(now), now)
	}
	for end, want := range map[time.Duration]uint64{time.Nanosecond: 1, 250 * time.Millisecond: 1, 251 * time.Millisecond: 2, time.Second: 4} {
		require.Equal(t, want, p.before(end), end)
	}
	atOnce := pace{}
	require.Zero(t, atOnce.at(1000))
	require.EqualValues(t, uint64(math.MaxUint64), atOnce.by(0))
}

// The shares of the senders add up to all events.
func TestShare(t *testing.T) {
	for _, some := range []int{1, 2, 3, 7} {
		turns := make([]uint64, some)
		for n := range uint64(30) {
			for i, want := range turns {
				require.Equal(t, want, share(n, i, some), "%d of %d, after %d", i, some, n)
			}
			turns[n%uint64(some)]++
		}
	}
}

// Connections are opened at the rate of the ramp. Simulated time is exact.
func TestRamp(t *testing.T) {
	for text, last := range map[string]time.Duration{"10": 9900 * time.Millisecond, "2s": 1980 * time.Millisecond, "0": 0} {
		synctest.Test(t, func(t *testing.T) {
			var r ramp
			require.NoError(t, r.Set(text))
			require.Equal(t, text, r.String())
			p, began := r.pace(100), time.Now()
			for n := range uint64(100) {
				require.True(t, sleeper{}.until(t.Context(), began, p.at(n)))
				require.Equal(t, p.at(n), time.Since(began))
			}
			require.InDelta(t, last.Seconds(), p.at(99).Seconds(), 1e-6)
		})
	}
}

// A sleep is never too short.
func TestPreciseSleep(t *testing.T) {
	began := time.Now()
	for _, d := range []time.Duration{0, time.Microsecond, time.Millisecond, 3 * time.Millisecond} {
		require.True(t, precise.until(t.Context(), began, d))
		require.GreaterOrEqual(t, time.Since(began), d)
	}
}

func TestSleepEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		require.False(t, sleeper{}.until(ctx, began, time.Hour))
		require.Equal(t, time.Minute, time.Since(began))
		require.False(t, sleeper{}.until(ctx, began, 0), "even for a time that has passed")
		require.False(t, precise.until(ctx, began, time.Hour+time.Millisecond))
	})
}
