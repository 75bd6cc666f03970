// Drain measures the graceful shutdown of a server under load. The server runs under
// pipeline.Serve. -n clients send messages and receive their echoes, and the server
// broadcasts to all. After -duration it receives SIGTERM while the load continues.
//
// A run fails unless every client reads close code 1001, every message that the server has
// written is read, goroutines and descriptors return to their numbers before the first
// connection, and the shutdown takes less than five seconds.
//
// Server and clients each need -n descriptors: see ulimit -n.
package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
)

func main() {
	harness.RunChild(child)
	harness.Main("drain", setup)
}

func setup(flags *flag.FlagSet) func(context.Context) (any, []harness.Check, error) {
	var cfg config
	flags.IntVar(&cfg.n, "n", 8000, "number of connections")
	flags.DurationVar(&cfg.duration, "duration", 5*time.Second, "time of the load before SIGTERM")
	flags.DurationVar(&cfg.echo, "echo", 5*time.Second, "mean time between two messages of a client")
	flags.DurationVar(&cfg.broadcasts, "broadcasts", 500*time.Millisecond, "time between two broadcasts")
	return func(ctx context.Context) (any, []harness.Check, error) {
		res, err := measure(ctx, cfg)
		return res, res.checks(), err
	}
}

// limit is the longest permitted shutdown.
const limit = 5 * time.Second

func (r *result) checks() []harness.Check {
	s := r.Server
	stat := s.Stats
	round := func(d time.Duration) string { return d.Round(time.Millisecond).String() }
	return []harness.Check{
		{Name: "connections at SIGTERM", Value: fmt.Sprint(s.Connections), Bound: fmt.Sprint(r.Clients), OK: s.Connections == r.Clients},
		{Name: "echoes received; broadcasts received", Value: fmt.Sprintf("%d; %d of %d", r.Echoes, r.Received, s.Broadcasts), Bound: "at least one each", OK: r.Echoes > 0 && r.Received > 0},
		{Name: "messages written by the server / read by clients", Value: fmt.Sprintf("%d / %d", stat.MessagesOut, r.Echoes+r.Received), Bound: "equal", OK: stat.MessagesOut == uint64(r.Echoes+r.Received)},
		{Name: "close codes or errors of the clients", Value: harness.Counts(r.Ends), Bound: "only 1001", OK: r.Ends["1001"] == r.Clients},
		{Name: "goroutines before / under load / after", Value: fmt.Sprintf("%d / %d / %d", s.Before.Goroutines, s.Full.Goroutines, s.After.Goroutines), Bound: "as before", OK: s.After.Goroutines <= s.Before.Goroutines},
		{Name: "descriptors before / under load / after", Value: fmt.Sprintf("%d / %d / %d", s.Before.Descriptors, s.Full.Descriptors, s.After.Descriptors), Bound: "as before", OK: s.After.Descriptors <= s.Before.Descriptors},
		{Name: "SIGTERM until Serve returned", Value: round(s.Drain), Bound: round(limit), OK: s.Drain < limit},
		{Name: "SIGTERM until the last client was closed", Value: round(r.Last), Bound: round(limit), OK: r.Last < limit},
		{Name: "SIGTERM until the process was released", Value: round(r.Exit), Bound: round(limit), OK: r.Exit < limit},
	}
}
