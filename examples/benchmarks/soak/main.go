// Soak loads a server for a long time while the networks of some clients fail, and checks
// that no resources are left afterwards.
//
// The server is examples/echo -debug in a process of its own. examples/loadtest checks that
// each message arrives once, unchanged and in order: echoes in rounds of new connections,
// and broadcasts on connections that stay open. Meanwhile -faulty clients at a time connect
// to the same endpoints, each through its own wstest.Proxy with a random fault in one or
// both directions: delay, small pieces, a low rate, a stall, a reset, a half-close or a
// black hole, from the first byte of the handshake on. Their echoes must be a prefix of
// their messages.
//
// The baseline is measured after a warm-up with the whole load, when all clients are gone.
// It contains pools, descriptors of the poller and maps that have grown, but nothing that
// each connection leaves behind. The same is measured again at the end.
//
// A run fails if a bound is missed.
package main

import (
	"context"
	"flag"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/wsmanager"
)

func main() { harness.Main("soak", setup) }

func setup(flags *flag.FlagSet) func(context.Context) (any, []harness.Check, error) {
	cfg := config{driver: wsmanager.DriverAuto}
	harness.DriverFlag(flags, "driver", &cfg.driver)
	flags.DurationVar(&cfg.duration, "duration", 2*time.Minute, "length of the load after the warm-up")
	flags.DurationVar(&cfg.warmUp, "warm-up", 20*time.Second, "length of the load before the baseline")
	flags.DurationVar(&cfg.round, "round", 10*time.Second, "lifetime of connections with echoes")
	flags.IntVar(&cfg.connections, "connections", 100, "connections with echoes, and as many with broadcasts")
	flags.IntVar(&cfg.rate, "rate", 500, "echoes per second")
	flags.IntVar(&cfg.broadcasts, "broadcasts", 10, "broadcasts per second")
	flags.IntVar(&cfg.faulty, "faulty", 16, "simultaneous connections with faults")
	flags.BoolVar(&cfg.compress, "compress", false, "compress messages")
	return func(ctx context.Context) (any, []harness.Check, error) {
		res, err := measure(ctx, cfg)
		if err != nil {
			return nil, nil, err
		}
		return res, res.checks(), nil
	}
}
