// Idle measures what connections cost that do nothing: 15,000 sockets whose peers
// only answer pings, at the default options.
//
// The server is a process of its own. Its resident memory is taken before the first
// socket and when all are there, each time after a collection that gives all free
// memory back; then the processor time that it uses in -duration.
//
// It fails if a bound is missed. Those of goroutines and memory are for the event
// loop; the goroutine driver (-driver goroutine) and compression (-compress) are there
// to compare.
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
	"github.com/speakingtube/speakingtube/wsmanager"
)

func main() {
	harness.RunChild(child)
	harness.Main("idle", run)
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("idle", flag.ContinueOnError)
	flags.SetOutput(stdout)
	cfg := config{driver: harness.Driver{Driver: wsmanager.DriverEventLoop}}
	flags.Var(&cfg.driver, "driver", "auto, goroutine or eventloop")
	flags.IntVar(&cfg.n, "n", 15_000, "sockets")
	flags.DurationVar(&cfg.duration, "duration", 2*time.Minute, "of the measurement")
	flags.DurationVar(&cfg.ping, "ping", 0, "the server's PingInterval; 0 is its default")
	flags.BoolVar(&cfg.compress, "compress", false, "let the clients have compression, which they offer")
	asJSON := flags.Bool("json", false, "print all figures as JSON")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if cfg.n < 1 || cfg.duration <= 0 || cfg.ping < 0 {
		return fmt.Errorf("-n and -duration must be above 0, and -ping not below")
	}
	res, err := measure(ctx, cfg)
	if err != nil {
		return err
	}
	return harness.Report(stdout, *asJSON, res, res.checks(cfg))
}

// The bounds, of a server that is nothing but idle.
const (
	goroutinesBound = 100  // below
	cpuBound        = 2.0  // % of a processor
	memoryBound     = 1000 // bytes of a connection
	pongSize        = 6    // bytes of one that answers an empty ping
)

// checks holds a result against the bounds.
func (r *result) checks(cfg config) []harness.Check {
	ping := cfg.ping
	if ping == 0 {
		ping = 50 * time.Second // Options.PingInterval
	}
	// Give or take 10 %, and the first ones may have come before.
	due := int(cfg.duration/(ping*11/10)) * cfg.n
	pongs := int(r.BytesIn) / pongSize
	list := []harness.Check{
		{What: "sockets at first / at last", Got: fmt.Sprintf("%d / %d", r.Full.Connections, r.End.Connections), Bound: fmt.Sprint(cfg.n), OK: r.Full.Connections == cfg.n && r.End.Connections == cfg.n},
		{What: "pings answered", Got: fmt.Sprint(pongs), Bound: fmt.Sprintf(">= %d", due), OK: pongs >= due},
		{What: "goroutines before / at first / at last", Got: fmt.Sprintf("%d / %d / %d", r.Empty.Goroutines, r.Full.Goroutines, r.End.Goroutines), Bound: fmt.Sprintf("< %d", goroutinesBound), OK: max(r.Full.Goroutines, r.End.Goroutines) < goroutinesBound},
		{What: "resident memory before / at first", Got: fmt.Sprintf("%.1f / %.1f MiB", float64(r.Empty.RSS)/(1<<20), float64(r.Full.RSS)/(1<<20)), OK: true},
		{What: "of that, each connection", Got: fmt.Sprintf("%d bytes", r.Each), Bound: fmt.Sprintf("<= %d", memoryBound), OK: r.Each <= memoryBound},
		{What: fmt.Sprintf("processor in %v", cfg.duration), Got: fmt.Sprintf("%.2f %%", r.CPU), Bound: fmt.Sprintf("<= %.0f %%", cpuBound), OK: r.CPU <= cpuBound},
	}
	if cfg.compress {
		list = append(list, harness.Check{What: "sockets that have agreed on compression", Got: fmt.Sprint(r.End.Compressing), Bound: fmt.Sprint(cfg.n), OK: r.End.Compressing == cfg.n})
	}
	if cfg.driver.Driver == wsmanager.DriverGoroutine {
		for _, i := range []int{2, 4} {
			list[i].Bound, list[i].OK = "", true
		}
	}
	return list
}
