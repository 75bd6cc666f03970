// Stalled measures the effect of one client that does not read on the other clients of a
// Manager and on the server's memory, and checks the promise of each policy for slow
// consumers.
//
// The server broadcasts at a steady rate to -n connections. Two kinds of runs alternate:
// all clients read, and one of them reads nothing. Latency is counted from the time when a
// broadcast was due, so that a delayed broadcast counts for all clients. The figures are
// medians of the rounds of each policy. At the end the stalled connection alone is sent
// -flood bytes.
//
// A run fails unless the 99th percentile with a stalled client is at most 1.5 times that
// without, memory stays flat, the policy's promise holds, and Conns(id).Close ends the stalled
// connection.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/wsmanager"
)

func main() {
	harness.RunChild(child)
	harness.Main("stalled", setup)
}

var policies = []wsmanager.SlowConsumer{wsmanager.SlowConsumerClose, wsmanager.SlowConsumerDropNewest, wsmanager.SlowConsumerDropOldest}

func setup(flags *flag.FlagSet) func(context.Context) (any, []harness.Check, error) {
	var cfg config
	flags.IntVar(&cfg.n, "n", 1000, "number of connections")
	flags.Float64Var(&cfg.rate, "rate", 20, "broadcasts per second")
	flags.DurationVar(&cfg.duration, "duration", 5*time.Second, "length of a run")
	flags.DurationVar(&cfg.warmUp, "warm-up", 2*time.Second, "length of the load before each run")
	flags.IntVar(&cfg.rounds, "rounds", 9, "runs of each kind, for each policy")
	flags.IntVar(&cfg.flood, "flood", 128<<20, "bytes that the stalled connection is sent at the end")
	flags.DurationVar(&cfg.closeTimeout, "close-timeout", 5*time.Second, "the server's CloseTimeout")
	only := flags.String("policy", "", `"close", "drop newest" or "drop oldest" (default all)`)
	return func(ctx context.Context) (any, []harness.Check, error) {
		if cfg.n < 2 {
			return nil, nil, errors.New("-n must be at least 2")
		}
		var results []result
		var checks []harness.Check
		for _, policy := range policies {
			if *only != "" && *only != policy.String() {
				continue
			}
			res, err := measure(ctx, cfg, policy)
			if err != nil {
				return nil, nil, fmt.Errorf("%v: %w", policy, err)
			}
			results = append(results, res)
			checks = append(checks, res.checks(cfg)...)
		}
		if results == nil {
			return nil, nil, fmt.Errorf("unknown policy %q", *only)
		}
		return results, checks, nil
	}
}

func (r *result) checks(cfg config) []harness.Check {
	mib, d := harness.MiB, r.Dropped
	list := []harness.Check{
		{Name: "p50, all read / one stalled", Value: fmt.Sprintf("%.2f / %.2f ms", r.P50[0], r.P50[1]), OK: true},
		{Name: "p99, all read / one stalled", Value: fmt.Sprintf("%.2f / %.2f ms: %.2fx", r.P99[0], r.P99[1], r.Ratio), Bound: "<= 1.5x", OK: r.Ratio <= 1.5},
		{Name: "memory with one stalled, first / last", Value: mib(r.RSS[0]) + " / " + mib(r.RSS[1]), Bound: "+ 10 % or 2 MiB", OK: r.RSS[1] <= max(r.RSS[0]*11/10, r.RSS[0]+2<<20)},
		{Name: fmt.Sprintf("memory after the stalled one was sent %s in %v", mib(int64(cfg.flood)), r.Flood.Round(time.Millisecond)), Value: mib(r.RSS[2]), Bound: "+ 8 MiB", OK: r.RSS[2] <= r.RSS[1]+8<<20},
	}
	dropped := harness.Check{Name: "dropped", Value: fmt.Sprintf("full %d, oldest %d, closed %d", d.OutboxFull, d.Oldest, d.Closed)}
	switch r.Policy {
	case wsmanager.SlowConsumerClose.String():
		list = append(list, harness.Check{Name: "close codes that stalled clients read", Value: harness.Counts(r.Codes), Bound: "only 1013", OK: len(r.Codes) == 1 && r.Codes[1013] > 0})
		dropped.Bound, dropped.OK = "one full for each close, no oldest", d.Oldest == 0 && d.OutboxFull >= uint64(r.Codes[1013])
	case wsmanager.SlowConsumerDropNewest.String():
		dropped.Bound, dropped.OK = "full, no oldest", d.OutboxFull > 0 && d.Oldest == 0
	default:
		dropped.Bound, dropped.OK = "oldest, no full", d.OutboxFull == 0 && d.Oldest > 0
	}
	list = append(list, dropped)
	if c := r.Close; c != nil {
		list = append(list, harness.Check{Name: "Conns.Close of the stalled one: until it returned / until OnClose", Value: fmt.Sprintf("%v / %v", c.Call.Round(time.Microsecond), c.Gone.Round(time.Millisecond)),
			Bound: "< 100ms / < 1s", OK: c.Call < 100*time.Millisecond && c.Gone < time.Second})
	}
	for i := range list {
		list[i].Name = r.Policy + ": " + list[i].Name
	}
	return list
}
