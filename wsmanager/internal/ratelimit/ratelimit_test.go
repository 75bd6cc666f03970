package ratelimit

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func TestMessages(t *testing.T) {
	c := &clock{time.Unix(1e9, 0)}
	l := New(10, 3)
	for range 3 {
		require.True(t, l.AllowMessage(c))
	}
	require.False(t, l.AllowMessage(c))
	c.now = c.now.Add(100 * time.Millisecond)
	require.True(t, l.AllowMessage(c))
	require.False(t, l.AllowMessage(c))
	c.now = c.now.Add(time.Hour)
	for range 3 {
		require.True(t, l.AllowMessage(c), "the burst")
	}
	require.False(t, l.AllowMessage(c), "no more than the burst was saved")
}

func TestZeroLimitsAllowAllMessages(t *testing.T) {
	var l Limits
	for range 1000 {
		require.True(t, l.AllowMessage(nil), "the clock is not read")
	}
}

func TestControls(t *testing.T) {
	var l Limits
	now := time.Duration(0)
	allowed := func() (n int) {
		for l.AllowControl(now, 20) {
			n++
		}
		return n
	}
	require.Equal(t, 20, allowed(), "a second's worth at once")
	now += 50 * time.Millisecond
	require.Equal(t, 1, allowed())
	now += 49 * time.Millisecond
	require.Equal(t, 0, allowed(), "a refused frame costs nothing")
	now += time.Millisecond
	require.Equal(t, 1, allowed())
	now += time.Hour
	require.Equal(t, 20, allowed(), "no more than a second's worth was saved")
}
