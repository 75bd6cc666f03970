// Stalled measures what one client that does not read does to a thousand others:
// to their latency, and to the server's memory; whether its policy is observed; and
// whether the server can end it.
//
// The server is a process of its own. It broadcasts at a steady rate to -n sockets.
// Runs take turns: A, in which all read, and B, in which one reads nothing. A
// message's latency is from when it was due, so that a broadcast that is held up
// counts for all. The figures are medians of the rounds, for each policy. In the
// end the stalled connection alone is offered -flood bytes.
//
// It fails if a bound is missed: 99th percentile of B at most 1.5 times that of A;
// memory flat; what the policy promises; CloseConn.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/wsmanager"
)

func main() {
	harness.RunChild(child)
	harness.Main("stalled", run)
}

var policies = []wsmanager.SlowConsumer{wsmanager.SlowConsumerClose, wsmanager.SlowConsumerDropNewest, wsmanager.SlowConsumerDropOldest}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("stalled", flag.ContinueOnError)
	flags.SetOutput(stdout)
	var cfg config
	flags.IntVar(&cfg.n, "n", 1000, "sockets")
	flags.Float64Var(&cfg.rate, "rate", 20, "broadcasts a second")
	flags.DurationVar(&cfg.duration, "duration", 5*time.Second, "of a run")
	flags.DurationVar(&cfg.warmUp, "warm-up", 2*time.Second, "before each run")
	flags.IntVar(&cfg.rounds, "rounds", 9, "of A and B, for each policy")
	flags.IntVar(&cfg.flood, "flood", 128<<20, "bytes to offer the stalled connection in the end")
	flags.DurationVar(&cfg.closing, "close-timeout", 5*time.Second, "the server's CloseTimeout")
	only := flags.String("policy", "", `"close", "drop newest" or "drop oldest"; default: each`)
	asJSON := flags.Bool("json", false, "print all figures as JSON")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if cfg.n < 2 || cfg.rate <= 0 || cfg.duration <= 0 || cfg.warmUp <= 0 || cfg.closing <= 0 || cfg.rounds < 1 || cfg.flood < 0 {
		return fmt.Errorf("-n must be at least 2, the others above 0")
	}
	var results []result
	var checks []harness.Check
	for _, policy := range policies {
		if *only != "" && *only != policy.String() {
			continue
		}
		res, err := measure(ctx, cfg, policy)
		if err != nil {
			return fmt.Errorf("%v: %w", policy, err)
		}
		results = append(results, res)
		checks = append(checks, res.checks(cfg)...)
	}
	if results == nil {
		return fmt.Errorf("there is no policy %q", *only)
	}
	return harness.Print(stdout, *asJSON, struct {
		Results []result        `json:"results"`
		Checks  []harness.Check `json:"checks"`
	}{results, checks}, checks)
}

// checks holds a result against the bounds.
func (r *result) checks(cfg config) []harness.Check {
	mib := func(b int64) string { return fmt.Sprintf("%.1f MiB", float64(b)/(1<<20)) }
	list := []harness.Check{
		{What: "p50, all read / one stalled", Got: fmt.Sprintf("%.2f / %.2f ms", r.P50[0], r.P50[1]), OK: true},
		{What: "p99, all read / one stalled", Got: fmt.Sprintf("%.2f / %.2f ms: %.2fx", r.P99[0], r.P99[1], r.Ratio), Bound: "<= 1.5x", OK: r.Ratio <= 1.5},
		{What: "memory with one stalled, at first / at last", Got: mib(r.RSS[0]) + " / " + mib(r.RSS[1]), Bound: "+ 10 % or 2 MiB", OK: r.RSS[1] <= max(r.RSS[0]*11/10, r.RSS[0]+2<<20)},
		{What: fmt.Sprintf("memory after the stalled one was offered %s in %v", mib(int64(cfg.flood)), r.Flood.Round(time.Millisecond)), Got: mib(r.RSS[2]), Bound: "+ 8 MiB", OK: r.RSS[2] <= r.RSS[1]+8<<20},
	}
	d := r.Dropped
	dropped := fmt.Sprintf("full %d, oldest %d, closed %d", d.OutboxFull, d.Oldest, d.Closed)
	switch r.Policy {
	case wsmanager.SlowConsumerClose.String():
		list = append(list, harness.Check{What: "what stalled clients read at last", Got: harness.Counts(r.Codes), Bound: "1013 alone", OK: len(r.Codes) == 1 && r.Codes[1013] > 0},
			harness.Check{What: "dropped", Got: dropped, Bound: "one full for each end, none oldest", OK: d.Oldest == 0 && d.OutboxFull >= uint64(r.Codes[1013])})
	case wsmanager.SlowConsumerDropNewest.String():
		list = append(list, harness.Check{What: "dropped", Got: dropped, Bound: "full, none oldest", OK: d.OutboxFull > 0 && d.Oldest == 0})
	default:
		list = append(list, harness.Check{What: "dropped", Got: dropped, Bound: "oldest, none full", OK: d.OutboxFull == 0 && d.Oldest > 0})
	}
	if c := r.Close; c != nil {
		list = append(list, harness.Check{What: "CloseConn of the stalled one: returned / gone", Got: fmt.Sprintf("%v / %v", c.Call.Round(time.Microsecond), c.Gone.Round(time.Millisecond)), Bound: "at once / at once", OK: c.Call < 100*time.Millisecond && c.Gone < time.Second})
	}
	for i := range list {
		list[i].What = r.Policy + ": " + list[i].What
	}
	return list
}
