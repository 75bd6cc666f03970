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

// All but processor and memory, with a few hundred sockets that are pinged often.
func TestIdle(t *testing.T) {
	for _, d := range []wsmanager.Driver{wsmanager.DriverAuto, wsmanager.DriverGoroutine} {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel() // most of it is waiting
			cfg := config{driver: harness.Driver{Driver: d}, n: 300, duration: 2 * time.Second, ping: 500 * time.Millisecond, compress: d == wsmanager.DriverAuto}
			res, err := measure(t.Context(), cfg)
			require.NoError(t, err)
			require.Zero(t, res.Empty.Connections)
			require.Equal(t, cfg.n, res.Full.Connections)
			require.Equal(t, cfg.n, res.End.Connections)
			if cfg.compress {
				require.Equal(t, cfg.n, res.End.Compressing)
			}
			require.GreaterOrEqual(t, res.BytesIn, uint64(cfg.n*pongSize), "each has answered a ping")
			if d == wsmanager.DriverGoroutine {
				require.GreaterOrEqual(t, res.End.Goroutines, cfg.n)
			}
			for _, c := range res.checks(cfg) {
				require.NotEmpty(t, c.Got, c.What)
			}
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
	cfg := config{driver: harness.Driver{Driver: wsmanager.DriverEventLoop}, n: 15_000, duration: 2 * time.Minute}
	good := result{Full: status{Connections: 15_000, Goroutines: 9}, End: status{Connections: 15_000, Goroutines: 9}, Each: 1000, CPU: 2, BytesIn: 6 * 30_000}
	for _, c := range good.checks(cfg) {
		require.True(t, c.OK, c.What)
	}
	bad := result{Full: status{Connections: 15_000, Goroutines: 9}, End: status{Connections: 14_999, Goroutines: 100}, Each: 1001, CPU: 2.1, BytesIn: 6 * 29_999}
	var out bytes.Buffer
	require.ErrorContains(t, harness.Print(&out, false, nil, bad.checks(cfg)), "5 of 6 bounds missed")
	cfg.driver.Driver = wsmanager.DriverGoroutine
	require.ErrorContains(t, harness.Print(&out, false, nil, bad.checks(cfg)), "3 of 6 bounds missed", "goroutines and memory have no bound there")
	out.Reset()
	require.NoError(t, harness.Print(&out, true, good, nil))
	var back result
	require.NoError(t, json.Unmarshal(out.Bytes(), &back))
	require.Equal(t, good, back)
}
