//go:build linux

package evloop

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBreaker(t *testing.T) {
	const ms = int64(time.Millisecond)
	var b breaker
	unproven, proven := &Socket{}, &Socket{fastStreak: minInlineStreak}
	now := int64(0)
	block := func(n int, every int64) {
		for range n {
			now += every
			b.recordBlock(now)
		}
	}
	block(10, 60*ms) // never 3 within 100 ms
	require.True(t, b.isClosed())
	require.False(t, b.offloads(unproven))
	block(2, 10*ms)
	require.False(t, b.isClosed())
	require.True(t, b.offloads(unproven))
	require.False(t, b.offloads(proven))
	require.False(t, b.offloadsAll())
	now += halfOpenDuration
	b.update(now)
	require.True(t, b.isClosed())

	for _, length := range []int64{1, 2, 4, 8, 16, 32, 60, 60} {
		block(openThreshold, 10*ms)
		require.True(t, b.offloads(proven))
		require.True(t, b.offloadsAll())
		require.Equal(t, length*1000*ms, b.openFor)
		now = b.openUntil
		b.update(now)
		require.True(t, b.isClosed())
	}
	require.EqualValues(t, 8, b.openings.Load())
	now += 2 * maxOpenDuration
	block(openThreshold, 10*ms)
	require.Equal(t, minOpenDuration, b.openFor, "after a long time without blocks the period is short again")
}
