// Soak loads a server for a long time, while networks fail all around it, and looks
// whether anything is left at the end.
//
// The server is examples/echo -debug, a process of its own. examples/loadtest checks that
// each message comes once, whole and in order: on echoes, in rounds, so that connections
// come and go, and on broadcasts to connections that stay for all of it. Meanwhile -faulty
// clients at a time connect to the same endpoints, each through a wstest.Proxy of its own
// with a fault chosen at random: delay, pieces, throttle, stall, reset, half-close, black
// hole, in either direction or both, from the first byte of the handshake on. What they
// receive has to be the beginning of what they sent.
//
// The base line is taken after a warm-up with all of that, as long as -warm-up, when all
// clients are gone: pools, the poller's descriptors, maps that have grown are in it, and
// what each connection leaves behind is not. The same is measured again at the end.
//
// It fails if a bound is missed.
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
	harness.Main("soak", run)
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.SetOutput(stdout)
	cfg := config{driver: harness.Driver{Driver: wsmanager.DriverAuto}}
	flags.Var(&cfg.driver, "driver", "the server's: auto, goroutine or eventloop")
	flags.DurationVar(&cfg.duration, "duration", 2*time.Minute, "of the load, after the warm-up")
	flags.DurationVar(&cfg.warmUp, "warm-up", 20*time.Second, "with all of the load, before the base line is taken")
	flags.DurationVar(&cfg.round, "round", 10*time.Second, "after which the connections with echoes are replaced")
	flags.IntVar(&cfg.connections, "connections", 100, "without faults: with echoes so many, with broadcasts as many again")
	flags.IntVar(&cfg.rate, "rate", 500, "echoes a second")
	flags.IntVar(&cfg.broadcasts, "broadcasts", 10, "broadcasts a second")
	flags.IntVar(&cfg.faulty, "faulty", 16, "connections with faults at a time")
	flags.BoolVar(&cfg.compress, "compress", false, "compress messages")
	asJSON := flags.Bool("json", false, "print all figures as JSON")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if cfg.duration <= 0 || cfg.warmUp <= 0 || cfg.round <= 0 || cfg.connections < 1 || cfg.rate < 1 || cfg.broadcasts < 1 || cfg.faulty < 1 {
		return fmt.Errorf("all durations and numbers must be above 0")
	}
	res, err := measure(ctx, cfg)
	if err != nil {
		return err
	}
	err = harness.Report(stdout, *asJSON, res, res.checks())
	for _, wrong := range res.wrong() {
		fmt.Fprintln(stdout, wrong)
	}
	return err
}
