package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
)

func TestMain(m *testing.M) {
	harness.RunChild(child)
	m.Run()
}

// All but the time that it takes, with a hundred sockets.
func TestDrain(t *testing.T) {
	res, err := measure(t.Context(), config{n: 100, duration: time.Second, echo: time.Second, broadcasts: 50 * time.Millisecond})
	require.NoError(t, err)
	require.Equal(t, map[string]int{"1001": 100}, res.Ends)
	require.Equal(t, 100, res.Server.Connections)
	require.EqualValues(t, 100, res.Server.Stats.Closed[1001])
	require.EqualValues(t, res.Server.Stats.MessagesOut, res.Echoes+res.Received, "all that was written was read")
	require.Positive(t, res.Echoes)
	require.Positive(t, res.Received)
	require.LessOrEqual(t, res.Server.After.Goroutines, res.Server.Before.Goroutines)
	require.LessOrEqual(t, res.Server.After.Descriptors, res.Server.Before.Descriptors)
	if full := res.Server.Full.Descriptors; full >= 0 {
		require.Greater(t, full, 100, "the load was there")
	}
	for _, c := range res.checks() {
		require.NotEmpty(t, c.Got, c.What)
	}
}

func TestFlags(t *testing.T) {
	var out bytes.Buffer
	require.ErrorContains(t, run(t.Context(), []string{"-n", "0"}, &out), "above 0")
	require.Error(t, run(t.Context(), []string{"-no-such-flag"}, &out))
}
