package main

import (
	"io"
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

// The promise of each policy, with a hundred connections. Latency and memory depend on
// the load of the machine.
func TestPolicies(t *testing.T) {
	for _, policy := range policies {
		t.Run(policy.String(), func(t *testing.T) {
			t.Parallel() // mostly waiting
			cfg := config{n: 100, rate: 60, duration: time.Second, warmUp: time.Second / 2, rounds: 1, flood: 4 << 20, closeTimeout: time.Second / 2}
			if policy == wsmanager.SlowConsumerClose {
				cfg.closeTimeout = 20 * time.Second // the client must read the close frame in time
			}
			res, err := measure(t.Context(), cfg, policy)
			require.NoError(t, err)
			require.Positive(t, res.P50[0])
			require.GreaterOrEqual(t, res.P99[1], res.P50[1])
			checks := res.checks(cfg)
			for _, c := range checks[4:min(6, len(checks))] { // codes and drops
				if c.Bound != "< 100ms / < 1s" {
					require.True(t, c.OK, c)
				}
			}
			require.Equal(t, policy == wsmanager.SlowConsumerClose, res.Close == nil)
			if res.Close != nil {
				require.Less(t, res.Close.Gone, cfg.closeTimeout+10*time.Second)
			}
		})
	}
}

func TestFlags(t *testing.T) {
	for args, want := range map[string]string{"-n=1": "at least 2", "-policy=wait": `unknown policy "wait"`} {
		require.ErrorContains(t, harness.Run(t.Context(), "stalled", setup, []string{args}, io.Discard), want)
	}
}

func TestChecks(t *testing.T) {
	missed := func(r result) (n int) {
		for _, c := range r.checks(config{}) {
			if !c.OK {
				n++
			}
		}
		return n
	}
	require.Zero(t, missed(result{Policy: "close", P99: [2]float64{10, 14}, Ratio: 1.4, RSS: [3]int64{100 << 20, 105 << 20, 110 << 20}, Codes: map[int]int{1013: 2}, Dropped: wsmanager.Dropped{OutboxFull: 2}}))
	require.Equal(t, 5, missed(result{Policy: "drop newest", Ratio: 1.6, RSS: [3]int64{10 << 20, 20 << 20, 40 << 20}, Dropped: wsmanager.Dropped{Oldest: 1}, Close: &closed{Gone: time.Minute}}))
}
