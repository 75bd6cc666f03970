// Blocking measures what callbacks that take their time do to others of the same
// Manager: to 100 sockets that are echoed 2,000 messages a second in all.
//
// The server is a process of its own. Runs take turns: the 100 alone, and beside 20
// sockets whose callback sleeps 10 ms for each message, of which they send the next
// as soon as they have the echo. The figures are medians of the rounds. Then 50
// callbacks block for ever, and the 100 are measured once more; the server's
// goroutines are counted, and its Shutdown is given a second.
//
// A message's latency is from when it was written: the sender waits for no echo, so
// a server that is late delays no message.
//
// It fails if a bound is missed. Those of the latency are for the event loop; the
// goroutine driver (-driver goroutine) is there to compare.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/wsmanager"
)

func main() {
	harness.RunChild(child)
	harness.Main("blocking", run)
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("blocking", flag.ContinueOnError)
	flags.SetOutput(stdout)
	cfg := config{driver: harness.Driver{Driver: wsmanager.DriverEventLoop}}
	flags.Var(&cfg.driver, "driver", "auto, goroutine or eventloop")
	flags.IntVar(&cfg.others, "n", 100, "sockets that are echoed")
	flags.Float64Var(&cfg.rate, "rate", 2000, "messages a second, of all of these")
	flags.IntVar(&cfg.sleepers, "sleepers", 20, "sockets whose callback sleeps")
	flags.DurationVar(&cfg.sleep, "sleep", 10*time.Millisecond, "for how long")
	flags.IntVar(&cfg.blocked, "blocked", 50, "callbacks that block for ever")
	flags.DurationVar(&cfg.duration, "duration", 5*time.Second, "of a run")
	flags.DurationVar(&cfg.warmUp, "warm-up", time.Second, "before each run")
	flags.IntVar(&cfg.rounds, "rounds", 5, "of both runs")
	flags.DurationVar(&cfg.deadline, "deadline", time.Second, "of Shutdown")
	asJSON := flags.Bool("json", false, "print all figures as JSON")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if cfg.others < 1 || cfg.rate <= 0 || cfg.sleepers < 1 || cfg.sleep <= 0 || cfg.blocked < 1 || cfg.duration <= 0 || cfg.warmUp < 0 || cfg.rounds < 1 || cfg.deadline <= 0 {
		return fmt.Errorf("all but -warm-up must be above 0")
	}
	res, err := measure(ctx, cfg)
	if err != nil {
		return err
	}
	return harness.Report(stdout, *asJSON, res, res.checks(cfg))
}

// bound is what the 99th percentile of the others may be in the event loop.
const bound = 2.0 // ms

// spare is how many goroutines a server may have besides those of its callbacks.
const spare = 20

// grace is how long after its deadline Shutdown may return: it waits half a second
// for the ends of what it has cut.
const grace = time.Second

// checks holds a result against the bounds.
func (r *result) checks(cfg config) []harness.Check {
	latency := func(what string, f figures) harness.Check {
		c := harness.Check{What: what, Got: fmt.Sprintf("%.2f / %.2f / %.2f ms", f.P50, f.P99, f.Longest), Bound: fmt.Sprintf("p99 <= %.0f ms", bound), OK: f.P99 <= bound}
		if cfg.driver.Driver == wsmanager.DriverGoroutine {
			c.Bound, c.OK = "", true
		}
		return c
	}
	alone := latency("p50 / p99 / longest of the others, alone", r.Alone)
	alone.Bound, alone.OK = "", true // of the machine
	said := strings.TrimSuffix(strings.TrimPrefix(r.Shutdown.Err, "wsmanager: shutdown: "), ": context deadline exceeded")
	return []harness.Check{
		alone,
		latency(fmt.Sprintf("beside %d that sleep %v, %.0f times a second", cfg.sleepers, cfg.sleep, r.Slept), r.Beside),
		latency(fmt.Sprintf("beside %d that block for ever", cfg.blocked), r.Blocked),
		{What: "goroutines before / while these block / after", Got: fmt.Sprintf("%d / %d / %d", r.Goroutines[0], r.Goroutines[1], r.Goroutines[2]), Bound: fmt.Sprintf("+ %d / as before", cfg.blocked+spare),
			OK: r.Goroutines[1] <= r.Goroutines[0]+cfg.blocked+spare && r.Goroutines[2] <= r.Goroutines[0]},
		{What: "Shutdown while they block", Got: r.Shutdown.Took.Round(time.Millisecond).String(), Bound: fmt.Sprintf("%v to %v", cfg.deadline, cfg.deadline+grace),
			OK: r.Shutdown.Took >= cfg.deadline && r.Shutdown.Took <= cfg.deadline+grace},
		{What: "what it says", Got: said, Bound: fmt.Sprintf("%d callbacks", cfg.blocked),
			OK: strings.Contains(r.Shutdown.Err, fmt.Sprintf(" %d callbacks have not returned", cfg.blocked))},
		{What: "Shutdown when they have returned", Got: fmt.Sprintf("%v %s", r.Released.Took.Round(time.Millisecond), r.Released.Err), Bound: "no error", OK: r.Released.Err == ""},
	}
}
