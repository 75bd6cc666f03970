package stepclock_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/stepclock"
)

func TestTimersRunInOrderAtTheirTime(t *testing.T) {
	start := time.Unix(1e9, 0)
	c := stepclock.New(start, 3)
	var at []time.Duration
	note := func() { at = append(at, c.Now().Sub(start)) }
	c.AfterFunc(2*time.Second, note)
	c.AfterFunc(time.Second, func() {
		note()
		c.AfterFunc(2*time.Second, note)
	})
	stop := c.AfterFunc(time.Second, note)
	require.True(t, stop())
	require.False(t, stop())
	c.Step(2500 * time.Millisecond)
	require.Equal(t, []time.Duration{time.Second, 2 * time.Second}, at)
	require.Equal(t, 2500*time.Millisecond, c.Now().Sub(start))
	require.True(t, c.Armed())
	c.Jump(time.Hour)
	require.Equal(t, time.Hour+2500*time.Millisecond, at[2], "it runs late")
	require.False(t, c.Armed())
}

func TestTooManyTimers(t *testing.T) {
	c := stepclock.New(time.Unix(1e9, 0), 1)
	c.AfterFunc(time.Second, func() {})
	require.PanicsWithValue(t, "stepclock: more than 1 timers", func() { c.AfterFunc(time.Second, func() {}) })
}
