// Compression measures what compressing a broadcast costs and saves: JSON messages to
// -n sockets, without compression and at the levels 1 and 6. A round runs all of them
// one after the other, so that what else goes on strikes all alike; the medians of
// -runs rounds count.
//
// The server is a process of its own, and so is the client, which is examples/loadtest:
// it inflates each message, and checks that each comes once, whole and in order.
// Processor time and bytes are the server's, from the first broadcast to the last, per
// message and receiver.
//
// Server and client need -n descriptors each: see ulimit -n.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/wsmanager"
)

func main() {
	harness.RunChild(child)
	harness.Main("compression", run)
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("compression", flag.ContinueOnError)
	flags.SetOutput(stdout)
	cfg := config{driver: harness.Driver{Driver: wsmanager.DriverAuto}}
	flags.Var(&cfg.driver, "driver", "auto, goroutine or eventloop")
	flags.IntVar(&cfg.n, "n", 1000, "sockets")
	flags.IntVar(&cfg.runs, "runs", 5, "rounds, of which the medians count")
	flags.IntVar(&cfg.rate, "rate", 20, "broadcasts a second")
	flags.DurationVar(&cfg.duration, "duration", 3*time.Second, "of each measurement")
	sizes := flags.String("sizes", "1024,8192", "bytes of a message, one or more")
	asJSON := flags.Bool("json", false, "print all figures as JSON")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if cfg.n < 1 || cfg.runs < 1 || cfg.rate < 1 || cfg.duration <= 0 {
		return errors.New("-n, -runs, -rate and -duration must be above 0")
	}
	for field := range strings.SplitSeq(*sizes, ",") {
		size, err := strconv.Atoi(field)
		if err != nil || size < 512 {
			return fmt.Errorf("-sizes has %q: it must be a number of bytes, 512 or more, as smaller messages are not compressed", field)
		}
		cfg.sizes = append(cfg.sizes, size)
	}
	rows, err := measure(ctx, cfg)
	if err != nil {
		return err
	}
	if *asJSON {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(rows)
	}
	return table(stdout, rows)
}

// table prints the rows, each with its ratios to that without compression before it.
func table(w io.Writer, rows []row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "message\tcompression\tCPU per delivery\t\tbytes per delivery\t\tp50\tp99\t")
	var plain row
	for _, r := range rows {
		if r.Level == 0 {
			plain = r
		}
		fmt.Fprintf(t, "%d\t%s\t%.2f µs\t× %.2f\t%.0f\t× %.2f\t%.1f ms\t%.1f ms\t\n", r.Size, levelName(r.Level),
			r.CPU, r.CPU/plain.CPU, r.Bytes, r.Bytes/plain.Bytes, r.P50, r.P99)
	}
	return t.Flush()
}

func levelName(level int) string {
	if level == 0 {
		return "off"
	}
	return fmt.Sprint("level ", level)
}
