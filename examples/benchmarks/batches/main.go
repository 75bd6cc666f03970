// Batches measures the server's cost of broadcasts that are sent in quick succession, and
// the delay that they cause for connections that receive none of them.
//
// 1,000 connections receive: the messages of one of them, 32 at a time; broadcasts of 100
// goroutines; broadcasts of one goroutine in a row; single broadcasts with pauses; and,
// from a hub, broadcasts by calls of 100 clients and by calls of one. Another 3,000
// connections form a group, which receives 64 messages of a peer that arrive in one
// segment. A cost is the server's processor time per message and receiver. All loads
// alternate, round after round.
//
// Latencies are those of Send, and of Join with Leave, on a connection outside the group
// while a peer sends to the group: one message at a time, which is no batch, and two in one
// segment.
//
// A run fails if a bound is missed.
package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/wsmanager"
)

func main() {
	harness.RunChild(child)
	harness.Main("batches", setup)
}

func setup(flags *flag.FlagSet) func(context.Context) (any, []harness.Check, error) {
	cfg := config{driver: wsmanager.DriverEventLoop}
	harness.DriverFlag(flags, "driver", &cfg.driver)
	flags.IntVar(&cfg.n, "n", 1000, "connections that receive all broadcasts, and connections of the hub")
	flags.IntVar(&cfg.group, "many", 3000, "connections of the group")
	flags.IntVar(&cfg.total, "broadcasts", 2000, "broadcasts of each long load")
	flags.IntVar(&cfg.lone, "lone", 100, "single broadcasts")
	flags.IntVar(&cfg.probes, "probes", 3000, "calls of Send, and of Join and Leave, beside each kind of segment")
	flags.IntVar(&cfg.repeats, "repeats", 8, "runs of each load of 64 broadcasts in a round")
	flags.IntVar(&cfg.rounds, "rounds", 7, "rounds of all loads")
	return func(ctx context.Context) (any, []harness.Check, error) {
		if cfg.total < goroutines {
			return nil, nil, fmt.Errorf("-broadcasts must be at least %d, the number of goroutines", goroutines)
		}
		res, err := measure(ctx, cfg)
		if err != nil {
			return nil, nil, err
		}
		return res, res.checks(cfg), nil
	}
}

const (
	// costBound is the permitted cost of simultaneous broadcasts, as a multiple of the
	// messages of one peer.
	costBound = 1.5

	// delayBound is the permitted 99th percentile beside pairs, as a multiple of the one
	// beside single messages.
	delayBound = 2

	// delayFloor is a 99th percentile that is always permitted. Both processors are busy
	// with broadcasts and a call takes some ten microseconds, so that its percentile varies
	// by a factor of three between rounds. A call that waits for the delivery of one
	// broadcast takes ten milliseconds.
	delayFloor = 100 * time.Microsecond
)

func (r *result) checks(cfg config) []harness.Check {
	cost := func(name string, figure func(round) float64) harness.Check {
		return harness.Check{Name: name, Value: r.spread(figure, "%.2f") + " µs", OK: true}
	}
	relative := func(name string, figure func(round) float64) harness.Check {
		c := cost(name, figure)
		c.Value += fmt.Sprintf(": %.2fx", r.ratio(figure))
		return c
	}
	atOnce := func(x round) float64 { return x.AtOnce }
	bounded := relative(fmt.Sprintf("%d by %d goroutines at once", cfg.total, goroutines), atOnce)
	bounded.Bound, bounded.OK = fmt.Sprintf("<= %.1fx one peer's", costBound), r.ratio(atOnce) <= costBound
	return []harness.Check{
		cost(fmt.Sprintf("one peer's messages, %d in flight, to %d", inFlight, cfg.n), func(x round) float64 { return x.Peer }),
		bounded,
		relative(fmt.Sprintf("%d in a row by one goroutine", cfg.total), func(x round) float64 { return x.LongRow }),
		relative(fmt.Sprintf("%d in a row by one goroutine", few), func(x round) float64 { return x.Row }),
		relative(fmt.Sprintf("%d by hub calls of %d clients", cfg.total, min(goroutines, cfg.n)), func(x round) float64 { return x.Calls }),
		relative(fmt.Sprintf("%d by hub calls of one client", cfg.total), func(x round) float64 { return x.OneCaller }),
		cost(fmt.Sprintf("%d messages of a peer in one segment, to %d", few, cfg.group), func(x round) float64 { return x.Segment }),
		cost("a single broadcast", func(x round) float64 { return x.Lone }),
		{Name: "a single broadcast until its last receiver has it, p50", Value: r.spread(func(x round) float64 { return x.LoneP50 }, "%.2f") + " ms", OK: true},
		r.delays("Send", cfg, func(p probes) harness.Latency { return p.Send }),
		r.delays("Join and Leave", cfg, func(p probes) harness.Latency { return p.Join }),
	}
}

// delays compares the 99th percentile beside single messages with that beside pairs.
func (r *result) delays(name string, cfg config, call func(probes) harness.Latency) harness.Check {
	single := func(x round) float64 { return harness.Microseconds(call(x.Single).P99) }
	pairs := func(x round) float64 { return harness.Microseconds(call(x.Pairs).P99) }
	floor := harness.Microseconds(delayFloor)
	return harness.Check{
		Name:  fmt.Sprintf("p99 of %s beside single messages to %d / pairs", name, cfg.group),
		Value: fmt.Sprintf("%s / %s µs", r.spread(single, "%.0f"), r.spread(pairs, "%.0f")),
		Bound: fmt.Sprintf("<= %dx or %.0f µs", delayBound, floor),
		OK:    harness.MedianOf(r.Rounds, pairs) <= max(delayBound*harness.MedianOf(r.Rounds, single), floor),
	}
}

// ratio is the median of the rounds' ratios to the messages of one peer.
func (r *result) ratio(figure func(round) float64) float64 {
	return harness.MedianOf(r.Rounds, func(x round) float64 { return figure(x) / x.Peer })
}

// spread formats the median of the rounds with the smallest and the largest figure.
func (r *result) spread(figure func(round) float64, format string) string {
	var values []float64
	for _, x := range r.Rounds {
		values = append(values, figure(x))
	}
	return fmt.Sprintf(format+" ("+format+" to "+format+")", harness.Median(values), slices.Min(values), slices.Max(values))
}
