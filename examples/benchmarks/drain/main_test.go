package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
)

func TestMain(m *testing.M) {
	harness.RunChild(child)
	m.Run()
}

// Everything except the duration, with a hundred connections.
func TestDrain(t *testing.T) {
	res, err := measure(t.Context(), config{n: 100, duration: time.Second, echo: time.Second, broadcasts: 50 * time.Millisecond})
	require.NoError(t, err)
	require.EqualValues(t, 100, res.Server.Stats.Closed[1001])
	if full := res.Server.Full.Descriptors; full >= 0 {
		require.Greater(t, full, 100, "the connections were open")
	}
	for _, c := range res.checks()[:6] { // the others depend on the machine's load
		require.True(t, c.OK, c)
	}
}
