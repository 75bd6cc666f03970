//go:build linux

// Peers measures WebSocket servers that use this library and others, from outside: memory
// per idle connection, and the server's processor time per opened connection, echo and
// delivery of a broadcast. The servers alternate, round after round, and each measurement
// starts a new process.
//
// Processor time is read from the kernel. Unlike rates and latencies it depends little on
// the other load of the machine. Over loopback a write includes the whole delivery, up to
// the receiver's socket buffer, for all servers alike.
//
// It needs Linux and 20,000 descriptors for each of two processes.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
)

func main() { harness.Main("peers", setup) }

func setup(flags *flag.FlagSet) func(context.Context) (any, []harness.Check, error) {
	rounds := flags.Int("rounds", 5, "rounds of all measurements; the table has the medians")
	only := flags.String("only", "", "comma-separated texts: servers whose names contain one of them")
	small := flags.Bool("quick", false, "few connections for a short time, as a test of the program")
	return func(ctx context.Context) (any, []harness.Check, error) {
		list := chosen(strings.Split(*only, ","))
		if len(list) == 0 {
			return nil, nil, fmt.Errorf("-only %q names no server", *only)
		}
		how := full
		if *small {
			how = quick
		}
		dir, err := os.MkdirTemp("", "peers")
		if err != nil {
			return nil, nil, err
		}
		defer func() { _ = os.RemoveAll(dir) }() // the system cleans up temporary files
		tests := how.tests()
		all, err := measure(ctx, dir, list, tests, *rounds)
		return all, rows(tests, all), err
	}
}

// rows has the medians of each server.
func rows(tests []test, all []measured) (list []harness.Check) {
	for _, m := range all {
		var figures []string
		for _, t := range tests {
			for _, figure := range t.figures {
				figures = append(figures, fmt.Sprintf("%s %.4g", figure, harness.Median(m.Figures[figure])))
			}
		}
		list = append(list, harness.Check{Name: strings.TrimSpace(m.Name + " " + m.Version), Value: strings.Join(figures, "  "), OK: true})
	}
	return list
}
