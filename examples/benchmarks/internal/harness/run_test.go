package harness_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/wsmanager"
)

func TestRun(t *testing.T) {
	driver := wsmanager.DriverEventLoop
	var values []time.Duration
	setup := func(flags *flag.FlagSet) func(context.Context) (any, []harness.Check, error) {
		harness.DriverFlag(flags, "driver", &driver)
		n := flags.Int("n", 3, "")
		d := flags.Duration("duration", time.Second, "")
		return func(context.Context) (any, []harness.Check, error) {
			values = []time.Duration{*d, time.Duration(*n) * *d, 0}
			return harness.LatencyOf(values), []harness.Check{{Name: "one", Value: "1", OK: true}, {Name: "two", Value: "2", Bound: "1", OK: *n < 4}}, nil
		}
	}
	var out bytes.Buffer
	for args, want := range map[string]string{
		"-n=0": "-n is 0: it must be above 0", "-duration=-1s": "above 0", "-driver=turbo": `unknown driver "turbo"`,
		"-no-such-flag": "not defined", "-n=4": "1 of 2 bounds missed",
	} {
		require.ErrorContains(t, harness.Run(t.Context(), "x", setup, []string{args}, &out), want)
	}
	require.Regexp(t, `\ntwo +2 +1 +MISSED\n`, out.String())
	out.Reset()
	require.NoError(t, harness.Run(t.Context(), "x", setup, []string{"-json", "-driver", "goroutine"}, &out))
	require.Equal(t, wsmanager.DriverGoroutine, driver)
	var report struct {
		Result harness.Latency
		Checks []harness.Check
	}
	require.NoError(t, json.Unmarshal(out.Bytes(), &report))
	require.Equal(t, harness.Latency{P50: time.Second, P99: 3 * time.Second, Longest: 3 * time.Second}, report.Result)
	require.Len(t, report.Checks, 2)
}
