// Batches measures what it costs a server to deliver broadcasts that come together, and
// whether connections that get none of them wait.
//
// The server is a process of its own. 1,000 sockets get what one of them sends, 32
// messages at a time; what 100 goroutines broadcast at once; what one goroutine
// broadcasts in a row; single broadcasts with pauses; and, over a hub, what the calls of
// 100 clients broadcast, and those of one. 3,000 others are a group, which gets 64
// messages of a peer that come in one segment. A figure is the server's processor time
// for each message and receiver, and all loads take turns, round after round.
//
// Latency is that of Send, and of Join with Leave, on a connection that is not in the
// group, while a peer sends to the group: one message after the other, which joins
// nothing, and two in one segment again and again.
//
// It fails if a bound is missed.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"slices"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/wsmanager"
)

func main() {
	harness.RunChild(child)
	harness.Main("batches", run)
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("batches", flag.ContinueOnError)
	flags.SetOutput(stdout)
	cfg := config{driver: harness.Driver{Driver: wsmanager.DriverEventLoop}}
	flags.Var(&cfg.driver, "driver", "auto, goroutine or eventloop")
	flags.IntVar(&cfg.n, "n", 1000, "sockets that get all broadcasts, and as many of the hub")
	flags.IntVar(&cfg.many, "many", 3000, "sockets of the group")
	flags.IntVar(&cfg.total, "broadcasts", 2000, "of each load that has many")
	flags.IntVar(&cfg.lone, "lone", 100, "broadcasts that come alone")
	flags.IntVar(&cfg.probes, "probes", 3000, "of Send, and of Join and Leave, beside each kind of segment")
	flags.IntVar(&cfg.repeats, "repeats", 8, "of loads of 64 broadcasts, in each round")
	flags.IntVar(&cfg.rounds, "rounds", 7, "of all loads")
	asJSON := flags.Bool("json", false, "print all figures as JSON")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if cfg.n < 1 || cfg.many < 1 || cfg.lone < 1 || cfg.probes < 1 || cfg.repeats < 1 || cfg.rounds < 1 {
		return fmt.Errorf("all must be above 0")
	}
	if cfg.total < goroutines {
		return fmt.Errorf("-broadcasts must be at least %d: so many goroutines broadcast", goroutines)
	}
	res, err := measure(ctx, cfg)
	if err != nil {
		return err
	}
	return harness.Report(stdout, *asJSON, res, res.checks(cfg))
}

const (
	// costBound is what a delivery of broadcasts that are made at once may cost, as a
	// multiple of one of one peer's messages.
	costBound = 1.5

	// waitBound is what the 99th percentile may be beside pairs, as a multiple of that
	// beside single messages.
	waitBound = 2.0

	// floor is a 99th percentile that is always good enough, in microseconds. Both
	// processors are busy with the broadcasts, and a call takes some ten microseconds:
	// its percentile varies by a factor of three from round to round. A call that
	// waits until one broadcast was delivered to the group takes ten milliseconds.
	floor = 100.0
)

// checks holds a result against the bounds. Figures are medians of the rounds, with the
// smallest and the biggest.
func (r *result) checks(cfg config) []harness.Check {
	cost := func(what string, of func(round) float64) harness.Check {
		return harness.Check{What: what, Got: r.spread(of, "%.2f") + " µs", OK: true}
	}
	beside := func(c harness.Check, of func(round) float64) harness.Check {
		ratio := r.median(func(x round) float64 { return of(x) / x.Peer })
		c.Got += fmt.Sprintf(": %.2fx", ratio)
		return c
	}
	atOnce := func(x round) float64 { return x.AtOnce }
	bounded := beside(cost(fmt.Sprintf("%d by %d goroutines at once", cfg.total, goroutines), atOnce), atOnce)
	bounded.Bound = fmt.Sprintf("<= %.1fx the peer's", costBound)
	bounded.OK = r.median(func(x round) float64 { return x.AtOnce / x.Peer }) <= costBound
	calls := func(x round) float64 { return x.Calls }
	one := func(x round) float64 { return x.OneCaller }
	long := func(x round) float64 { return x.LongRow }
	row := func(x round) float64 { return x.Row }
	return []harness.Check{
		cost(fmt.Sprintf("one peer's messages, %d in flight, to %d", inFlight, cfg.n), func(x round) float64 { return x.Peer }),
		bounded,
		beside(cost(fmt.Sprintf("%d in a row by one goroutine", cfg.total), long), long),
		beside(cost(fmt.Sprintf("%d in a row by one goroutine", few), row), row),
		beside(cost(fmt.Sprintf("%d by hub calls of %d clients", cfg.total, min(goroutines, cfg.n)), calls), calls),
		beside(cost(fmt.Sprintf("%d by hub calls of one client", cfg.total), one), one),
		cost(fmt.Sprintf("%d messages of a peer in one segment, to %d", few, cfg.many), func(x round) float64 { return x.Segment }),
		cost("a lone broadcast", func(x round) float64 { return x.Lone }),
		{What: "until its last receiver has it, p50", Got: r.spread(func(x round) float64 { return x.LoneP50 }, "%.2f") + " ms", OK: true},
		r.waits("Send", cfg, func(p probes) latency { return p.Send }),
		r.waits("Join and Leave", cfg, func(p probes) latency { return p.Join }),
	}
}

// waits compares the 99th percentile beside single messages with that beside pairs.
func (r *result) waits(what string, cfg config, of func(probes) latency) harness.Check {
	single := func(x round) float64 { return of(x.Single).P99 }
	pairs := func(x round) float64 { return of(x.Pairs).P99 }
	return harness.Check{
		What:  fmt.Sprintf("p99 of %s beside single messages to %d / pairs", what, cfg.many),
		Got:   fmt.Sprintf("%s / %s µs", r.spread(single, "%.0f"), r.spread(pairs, "%.0f")),
		Bound: fmt.Sprintf("<= %.0fx or %.0f µs", waitBound, floor),
		OK:    r.median(pairs) <= max(waitBound*r.median(single), floor),
	}
}

func (r *result) values(of func(round) float64) (values []float64) {
	for _, x := range r.Rounds {
		values = append(values, of(x))
	}
	return values
}

func (r *result) median(of func(round) float64) float64 { return harness.Median(r.values(of)) }

func (r *result) spread(of func(round) float64, format string) string {
	values := r.values(of)
	return fmt.Sprintf(format+" ("+format+" to "+format+")", harness.Median(values), slices.Min(values), slices.Max(values))
}
