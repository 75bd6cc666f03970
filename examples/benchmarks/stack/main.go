// Stack measures what components around a handler cost a request, ours and those
// of other libraries, in CPU time and allocations.
//
// All run in one process on one CPU, in turn, a burst of requests each, round
// after round: what else the machine does meets all alike. The writer is none of
// a server's but has the methods of net/http's for HTTP/1, so that nothing but
// the components is measured. Each round measures the CPU time of the process,
// the garbage collector's included; the table has the tenth percentile and the
// median of the rounds.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/pipeline/pipelinetest"
)

func main() { harness.Main("stack", run) }

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("stack", flag.ContinueOnError)
	flags.SetOutput(stdout)
	rounds := flags.Int("rounds", 250, "rounds to measure")
	burst := flags.Int("burst", 3000, "requests of a candidate in a round")
	asJSON := flags.Bool("json", false, "print all figures as JSON")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *rounds < 1 || *burst < 1 {
		return fmt.Errorf("-rounds %d and -burst %d must be at least 1", *rounds, *burst)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))

	all := candidates()
	times := make([][]time.Duration, len(all))
	w, r := pipelinetest.NewHTTP1(), request()
	for round := range *rounds + 1 {
		if err := ctx.Err(); err != nil {
			return err
		}
		for i := range all {
			took := measure(all[i].handler, w, r, *burst)
			if round > 0 { // the first one warms up
				times[i] = append(times[i], took)
			}
		}
	}

	rows := make([]row, len(all))
	for i, c := range all {
		slices.Sort(times[i])
		each := func(p float64) float64 {
			return float64(harness.Percentile(times[i], p).Nanoseconds()) / float64(*burst)
		}
		rows[i] = row{c.name, c.library, c.short, c.group, each(10), each(50), allocs(c.handler, w, r)}
	}
	if *asJSON {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(rows)
	}
	return printTable(stdout, rows)
}

// row is what one request costs with a candidate.
type row struct {
	Name    string  `json:"name"`
	Library string  `json:"library,omitempty"` // of another than us, with its version
	Short   string  `json:"short,omitempty"`
	Group   string  `json:"group,omitempty"`
	P10     float64 `json:"p10_ns"`
	Median  float64 `json:"median_ns"`
	Allocs  float64 `json:"allocations"`
}

func printTable(w io.Writer, rows []row) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "CPU p10\tmedian\tover bare\tallocs over bare\t  what\t")
	for _, r := range rows {
		fmt.Fprintf(table, "%.0f ns\t%.0f ns\t%.0f ns\t%.0f\t  %s\t\n",
			r.P10, r.Median, r.P10-rows[0].P10, r.Allocs-rows[0].Allocs, strings.TrimSpace(r.Library+" "+r.Name))
	}
	return table.Flush()
}

// request is one as browsers send it.
func request() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/items/7?page=2", nil)
	r.Header.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	r.Header.Set("Accept-Encoding", "gzip, deflate, br")
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64)")
	return r
}

func measure(h http.Handler, w *pipelinetest.HTTP1, r *http.Request, burst int) time.Duration {
	start := harness.OwnCPU()
	for range burst {
		w.Reset()
		h.ServeHTTP(w, r)
	}
	return harness.OwnCPU() - start
}

func allocs(h http.Handler, w *pipelinetest.HTTP1, r *http.Request) float64 {
	return testing.AllocsPerRun(200, func() {
		w.Reset()
		h.ServeHTTP(w, r)
	})
}
