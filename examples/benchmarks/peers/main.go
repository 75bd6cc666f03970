//go:build linux

// Peers measures WebSocket servers with this library and with others, from outside:
// memory for each idle connection, and the server's processor time for each connection
// opened, message echoed and broadcast delivered. Servers take turns, round after round;
// each measurement has a fresh process. Beside them stand two that speak no WebSocket
// worth the name, as the limit.
//
// Processor time is what the kernel says that the server's process has used. It depends
// little on what else the machine does, unlike rates and latencies; but over loopback a
// write carries the whole delivery, down to the receiver's queue, and all servers pay
// for that alike.
//
// It needs Linux and 20,000 descriptors for each of two processes.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
)

func main() { harness.Main("peers", run) }

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	flags.SetOutput(stdout)
	rounds := flags.Int("rounds", 5, "of all measurements; medians are printed")
	only := flags.String("only", "", "servers whose names contain one of these texts, divided by commas")
	small := flags.Bool("quick", false, "few connections for a short time: whether it works")
	asJSON := flags.Bool("json", false, "print all figures as JSON")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var texts []string
	if *only != "" {
		texts = strings.Split(*only, ",")
	}
	list := chosen(texts)
	if *rounds < 1 || len(list) == 0 {
		return fmt.Errorf("-rounds %d must be at least 1, and -only %q must name a server", *rounds, *only)
	}
	how := full
	if *small {
		how = quick
	}
	dir, err := os.MkdirTemp("", "peers")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // it is the system's to clean up
	tests := how.tests()
	all, err := measure(ctx, dir, list, tests, *rounds, func(s string) { fmt.Fprintln(os.Stderr, s) })
	if err != nil {
		return err
	}
	if *asJSON {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(all)
	}
	return printTable(stdout, tests, all)
}

func printTable(w io.Writer, tests []test, all []measured) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, t := range tests {
		for _, figure := range t.figures {
			fmt.Fprintf(table, "%s\t", figure)
		}
	}
	fmt.Fprintln(table, "  server\t")
	for _, m := range all {
		for _, t := range tests {
			for _, figure := range t.figures {
				fmt.Fprintf(table, "%.4g\t", harness.Median(m.Figures[figure]))
			}
		}
		fmt.Fprintf(table, "  %s %s\t\n", m.Name, m.Version)
	}
	return table.Flush()
}
