// Blocking measures the effect of slow callbacks on other connections of the same Manager:
// 100 connections that are echoed 2,000 messages a second together.
//
// Two kinds of runs alternate: the 100 connections alone, and beside 20 connections whose
// callback sleeps 10 ms for each message, and whose clients send the next message as soon
// as the echo arrives. The figures are medians of the rounds. Then 50 callbacks block
// until they are released, the 100 connections are measured once more, the server's
// goroutines are counted, and Shutdown is called with a deadline of a second.
//
// Latency is counted from the write of a message. The sender does not wait for echoes, so
// a slow server delays no message.
//
// A run fails if a bound is missed. The bounds of the latency apply to the event loop.
package main

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/wsmanager"
)

func main() {
	harness.RunChild(child)
	harness.Main("blocking", setup)
}

func setup(flags *flag.FlagSet) func(context.Context) (any, []harness.Check, error) {
	cfg := config{driver: wsmanager.DriverEventLoop}
	harness.DriverFlag(flags, "driver", &cfg.driver)
	flags.IntVar(&cfg.measured, "n", 100, "connections that are measured")
	flags.Float64Var(&cfg.rate, "rate", 2000, "messages per second of all measured connections")
	flags.IntVar(&cfg.sleepers, "sleepers", 20, "connections whose callback sleeps")
	flags.DurationVar(&cfg.sleep, "sleep", 10*time.Millisecond, "time that such a callback sleeps")
	flags.IntVar(&cfg.blocked, "blocked", 50, "connections whose callback blocks")
	flags.DurationVar(&cfg.duration, "duration", 5*time.Second, "length of a run")
	flags.DurationVar(&cfg.warmUp, "warm-up", time.Second, "length of the load before each run")
	flags.IntVar(&cfg.rounds, "rounds", 5, "runs of each kind")
	flags.DurationVar(&cfg.deadline, "deadline", time.Second, "deadline of Shutdown")
	return func(ctx context.Context) (any, []harness.Check, error) {
		res, err := measure(ctx, cfg)
		return res, res.checks(cfg), err
	}
}

const (
	latencyBound    = 2 * time.Millisecond // 99th percentile with the event loop
	spareGoroutines = 20                   // besides those of blocked callbacks

	// shutdownGrace is the longest time that Shutdown may take after its deadline. It waits
	// half a second for the callbacks of connections that it has cut.
	shutdownGrace = time.Second
)

func (r *result) checks(cfg config) []harness.Check {
	latency := func(name string, l harness.Latency) harness.Check {
		c := harness.Check{Name: name, Value: fmt.Sprintf("%.2f / %.2f / %.2f ms", harness.Milliseconds(l.P50), harness.Milliseconds(l.P99), harness.Milliseconds(l.Longest)), OK: true}
		if cfg.driver != wsmanager.DriverGoroutine {
			c.Bound, c.OK = fmt.Sprintf("p99 <= %v", latencyBound), l.P99 <= latencyBound
		}
		return c
	}
	alone := latency("p50 / p99 / longest, alone", r.Alone)
	alone.Bound, alone.OK = "", true // it depends on the machine only
	text := strings.TrimSuffix(strings.TrimPrefix(r.Shutdown.Err, "wsmanager: shutdown: "), ": context deadline exceeded")
	g, most := r.Goroutines, cfg.blocked+spareGoroutines
	return []harness.Check{
		alone,
		latency(fmt.Sprintf("beside %d callbacks that sleep %v, %.0f times a second", cfg.sleepers, cfg.sleep, r.Sleeps), r.Beside),
		latency(fmt.Sprintf("beside %d callbacks that block", cfg.blocked), r.Blocked),
		{Name: "goroutines before / while callbacks block / after", Value: fmt.Sprintf("%d / %d / %d", g[0], g[1], g[2]), Bound: fmt.Sprintf("+ %d / as before", most),
			OK: g[1] <= g[0]+most && g[2] <= g[0]},
		{Name: "Shutdown while callbacks block", Value: r.Shutdown.Took.Round(time.Millisecond).String(), Bound: fmt.Sprintf("%v to %v", cfg.deadline, cfg.deadline+shutdownGrace),
			OK: r.Shutdown.Took >= cfg.deadline && r.Shutdown.Took <= cfg.deadline+shutdownGrace},
		{Name: "its error", Value: text, Bound: fmt.Sprintf("%d callbacks", cfg.blocked),
			OK: strings.Contains(r.Shutdown.Err, fmt.Sprintf(" %d callbacks have not returned", cfg.blocked))},
		{Name: "Shutdown after they have returned", Value: strings.TrimSpace(r.Released.Took.Round(time.Millisecond).String() + " " + r.Released.Err), Bound: "no error", OK: r.Released.Err == ""},
	}
}
