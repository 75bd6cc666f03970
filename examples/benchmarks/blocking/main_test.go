package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/wsmanager"
)

func TestMain(m *testing.M) {
	harness.RunChild(child)
	m.Run()
}

// Everything except the latency, which depends on the load of the machine.
func TestBlocking(t *testing.T) {
	for _, d := range []wsmanager.Driver{wsmanager.DriverAuto, wsmanager.DriverGoroutine} {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel() // mostly waiting
			cfg := config{driver: d, measured: 10, rate: 200, sleepers: 3, sleep: 10 * time.Millisecond, blocked: 5,
				duration: time.Second / 2, warmUp: time.Second / 10, rounds: 2, deadline: time.Second / 5}
			res, err := measure(t.Context(), cfg)
			require.NoError(t, err)
			for _, runs := range res.Rounds {
				require.Len(t, runs, 2)
			}
			for _, l := range []harness.Latency{res.Alone, res.Beside, res.Blocked} {
				require.Positive(t, l.P50)
				require.GreaterOrEqual(t, l.P99, l.P50)
				require.GreaterOrEqual(t, l.Longest, l.P99)
			}
			require.Positive(t, res.Sleeps)
			require.Contains(t, res.Shutdown.Err, "5 callbacks have not returned")
			require.GreaterOrEqual(t, res.Shutdown.Took, cfg.deadline)
			require.Empty(t, res.Released.Err)
			require.LessOrEqual(t, res.Goroutines[2], res.Goroutines[0])
		})
	}
}

func TestChecks(t *testing.T) {
	cfg := config{driver: wsmanager.DriverEventLoop, sleepers: 20, blocked: 50, deadline: time.Second}
	missed := func(r result) (n int) {
		for _, c := range r.checks(cfg) {
			if !c.OK {
				n++
			}
		}
		return n
	}
	p99 := func(ms int) harness.Latency { return harness.Latency{P99: time.Duration(ms) * time.Millisecond} }
	require.Zero(t, missed(result{Alone: p99(100), Beside: p99(2), Blocked: p99(1), Goroutines: [3]int{10, 61, 9},
		Shutdown: shutdown{1500 * time.Millisecond, "connections were cut, and 50 callbacks have not returned"}}))
	bad := result{Alone: p99(100), Beside: p99(3), Blocked: p99(3), Goroutines: [3]int{10, 100, 10},
		Shutdown: shutdown{time.Millisecond, ""}, Released: shutdown{0, "no"}}
	require.Equal(t, 6, missed(bad))
	cfg.driver = wsmanager.DriverGoroutine
	require.Equal(t, 4, missed(bad), "the latency has no bound")
}
