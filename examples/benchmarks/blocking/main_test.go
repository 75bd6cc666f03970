package main

import (
	"bytes"
	"encoding/json"
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

// All but the latency, which is the program's to judge, with the machine to itself.
func TestBlocking(t *testing.T) {
	for _, d := range []wsmanager.Driver{wsmanager.DriverAuto, wsmanager.DriverGoroutine} {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel() // most of it is waiting
			cfg := config{driver: harness.Driver{Driver: d}, others: 10, rate: 200, sleepers: 3, sleep: 10 * time.Millisecond, blocked: 5,
				duration: time.Second / 2, warmUp: time.Second / 10, rounds: 2, deadline: time.Second / 5}
			res, err := measure(t.Context(), cfg)
			require.NoError(t, err)
			for _, runs := range res.Rounds {
				require.Len(t, runs, 2)
			}
			for _, f := range []figures{res.Alone, res.Beside, res.Blocked} {
				require.Positive(t, f.P50)
				require.GreaterOrEqual(t, f.P99, f.P50)
				require.GreaterOrEqual(t, f.Longest, f.P99)
			}
			require.Positive(t, res.Slept)
			require.Contains(t, res.Shutdown.Err, "5 callbacks have not returned")
			require.GreaterOrEqual(t, res.Shutdown.Took, cfg.deadline)
			require.Empty(t, res.Released.Err)
			require.LessOrEqual(t, res.Goroutines[2], res.Goroutines[0])
		})
	}
}

func TestFlags(t *testing.T) {
	var out bytes.Buffer
	require.ErrorContains(t, run(t.Context(), []string{"-n", "0"}, &out), "above 0")
	require.ErrorContains(t, run(t.Context(), []string{"-driver", "turbo"}, &out), `no driver "turbo"`)
	require.Error(t, run(t.Context(), []string{"-no-such-flag"}, &out))
}

func TestChecks(t *testing.T) {
	cfg := config{driver: harness.Driver{Driver: wsmanager.DriverEventLoop}, sleepers: 20, blocked: 50, deadline: time.Second}
	good := result{Beside: figures{P99: 1.9}, Blocked: figures{P99: 0.5}, Goroutines: [3]int{10, 61, 9},
		Shutdown: end{1500 * time.Millisecond, "connections were cut, and 50 callbacks have not returned"}}
	for _, c := range good.checks(cfg) {
		require.True(t, c.OK, c.What)
		require.NotEmpty(t, c.Got, c.What)
	}
	bad := result{Alone: figures{P99: 100}, Beside: figures{P99: 2.1}, Blocked: figures{P99: 3}, Goroutines: [3]int{10, 100, 10},
		Shutdown: end{time.Millisecond, ""}, Released: end{0, "no"}}
	var out bytes.Buffer
	require.ErrorContains(t, harness.Print(&out, false, nil, bad.checks(cfg)), "6 of 7 bounds missed")
	cfg.driver.Driver = wsmanager.DriverGoroutine
	require.ErrorContains(t, harness.Print(&out, false, nil, bad.checks(cfg)), "4 of 7 bounds missed", "latency has no bound there")
	out.Reset()
	require.NoError(t, harness.Print(&out, true, good, nil))
	var back result
	require.NoError(t, json.Unmarshal(out.Bytes(), &back))
	require.Equal(t, good, back)
}
