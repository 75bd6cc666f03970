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

// What each policy promises, with a hundred sockets; latency and memory are the
// program's to judge, with the machine to itself.
func TestPolicies(t *testing.T) {
	for _, policy := range policies {
		t.Run(policy.String(), func(t *testing.T) {
			t.Parallel() // most of it is waiting
			cfg := config{n: 100, rate: 60, duration: time.Second, warmUp: time.Second / 2, rounds: 1, flood: 4 << 20, closing: time.Second / 2}
			if policy == wsmanager.SlowConsumerClose {
				cfg.closing = 20 * time.Second // the client has to read in time, on whatever machine
			}
			res, err := measure(t.Context(), cfg, policy)
			require.NoError(t, err)
			require.Len(t, res.A, 1)
			require.Len(t, res.B, 1)
			require.Positive(t, res.P50[0])
			require.GreaterOrEqual(t, res.P99[1], res.P50[1])
			switch policy {
			case wsmanager.SlowConsumerClose:
				require.Positive(t, res.Codes[1013])
				require.Len(t, res.Codes, 1)
				require.Zero(t, res.Dropped.Oldest)
				require.Nil(t, res.Close)
			case wsmanager.SlowConsumerDropNewest:
				require.Positive(t, res.Dropped.OutboxFull)
				require.Zero(t, res.Dropped.Oldest)
			case wsmanager.SlowConsumerDropOldest:
				require.Positive(t, res.Dropped.Oldest)
				require.Zero(t, res.Dropped.OutboxFull)
			}
			if res.Close != nil {
				require.Less(t, res.Close.Gone, cfg.closing+10*time.Second)
			}
			for _, c := range res.checks(cfg) {
				require.NotEmpty(t, c.Got, c.What)
			}
		})
	}
}

func TestFlags(t *testing.T) {
	var out bytes.Buffer
	require.ErrorContains(t, run(t.Context(), []string{"-n", "1"}, &out), "at least 2")
	require.ErrorContains(t, run(t.Context(), []string{"-policy", "wait"}, &out), `no policy "wait"`)
	require.Error(t, run(t.Context(), []string{"-no-such-flag"}, &out))
}

func TestChecks(t *testing.T) {
	good := result{Policy: "close", P99: [2]float64{10, 14}, Ratio: 1.4, RSS: [3]int64{100 << 20, 105 << 20, 110 << 20}, Codes: map[int]int{1013: 2}, Dropped: wsmanager.Dropped{OutboxFull: 2}}
	for _, c := range good.checks(config{}) {
		require.True(t, c.OK, c.What)
	}
	bad := result{Policy: "drop newest", Ratio: 1.6, RSS: [3]int64{10 << 20, 20 << 20, 40 << 20}, Dropped: wsmanager.Dropped{Oldest: 1}, Close: &closed{Gone: time.Minute}}
	missed := 0
	for _, c := range bad.checks(config{}) {
		if !c.OK {
			missed++
		}
	}
	require.Equal(t, 5, missed)
	var out bytes.Buffer
	require.ErrorContains(t, harness.Print(&out, false, nil, bad.checks(config{})), "5 of 6 bounds missed")
	require.Contains(t, out.String(), "MISSED")
	out.Reset()
	require.NoError(t, harness.Print(&out, true, good, nil))
	var back result
	require.NoError(t, json.Unmarshal(out.Bytes(), &back))
	require.Equal(t, good, back)
}
