// Drain measures how a server ends with -n sockets under load. The server is a
// process of its own, under pipeline.Serve; each client sends now and then and gets
// its echo, and broadcasts go to all. After -duration it is sent SIGTERM, while the
// load goes on.
//
// It fails unless every client reads 1001 and then the end of its connection, the
// server's goroutines and descriptors are back at what they were before the first
// socket, and all of it takes less than five seconds.
//
// Server and clients need -n descriptors each: see ulimit -n.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
)

func main() {
	harness.RunChild(child)
	harness.Main("drain", run)
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("drain", flag.ContinueOnError)
	flags.SetOutput(stdout)
	var cfg config
	flags.IntVar(&cfg.n, "n", 8000, "sockets")
	flags.DurationVar(&cfg.duration, "duration", 5*time.Second, "of the load before SIGTERM")
	flags.DurationVar(&cfg.echo, "echo", 5*time.Second, "how often each client sends, on average")
	flags.DurationVar(&cfg.broadcasts, "broadcasts", 500*time.Millisecond, "how often the server broadcasts")
	asJSON := flags.Bool("json", false, "print all figures as JSON")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if cfg.n < 1 || cfg.duration < 0 || cfg.echo <= 0 || cfg.broadcasts <= 0 {
		return fmt.Errorf("-n, -echo and -broadcasts must be above 0")
	}
	res, err := measure(ctx, cfg)
	if err != nil {
		return err
	}
	return harness.Report(stdout, *asJSON, res, res.checks())
}

// limit is how long the end may take.
const limit = 5 * time.Second

// checks holds a result against the bounds.
func (r *result) checks() []harness.Check {
	s := r.Server
	round := func(d time.Duration) string { return d.Round(time.Millisecond).String() }
	return []harness.Check{
		{What: "sockets when SIGTERM came", Got: fmt.Sprint(s.Connections), Bound: fmt.Sprint(r.Clients), OK: s.Connections == r.Clients},
		{What: "echoes; broadcasts received", Got: fmt.Sprintf("%d; %d of %d", r.Echoes, r.Received, s.Broadcasts), Bound: "some of each", OK: r.Echoes > 0 && r.Received > 0},
		{What: "messages written by the server / read by clients", Got: fmt.Sprintf("%d / %d", s.Stats.MessagesOut, r.Echoes+r.Received), Bound: "the same", OK: s.Stats.MessagesOut == uint64(r.Echoes+r.Received)},
		{What: "how clients saw the end", Got: harness.Counts(r.Ends), Bound: "1001 alone", OK: r.Ends["1001"] == r.Clients},
		{What: "goroutines before / full / after", Got: fmt.Sprintf("%d / %d / %d", s.Before.Goroutines, s.Full.Goroutines, s.After.Goroutines), Bound: "as before", OK: s.After.Goroutines <= s.Before.Goroutines},
		{What: "descriptors before / full / after", Got: fmt.Sprintf("%d / %d / %d", s.Before.Descriptors, s.Full.Descriptors, s.After.Descriptors), Bound: "as before", OK: s.After.Descriptors <= s.Before.Descriptors},
		{What: "from SIGTERM until Serve returned", Got: round(s.Drain), Bound: round(limit), OK: s.Drain < limit},
		{What: "until the last client had its end", Got: round(r.Last), Bound: round(limit), OK: r.Last < limit},
		{What: "until the process had nothing left", Got: round(r.Exit), Bound: round(limit), OK: r.Exit < limit},
	}
}
