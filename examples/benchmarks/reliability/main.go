// Reliability runs the tests that docs/reliability.md names, and writes the page's
// tables anew with the figures that came out: about ten minutes, for Linux and a machine
// that has little else to do.
//
// It ends with status 1, and leaves the page alone, if a test failed, was skipped
// everywhere or does not exist, or a bound of the soak was missed. With -check it runs
// nothing and says whether the page has the rows that it would write.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
)

func main() {
	harness.Main("reliability", run)
}

// config is how long to look.
type config struct {
	root     string // the repository's folder
	fuzzTime time.Duration
	faults   time.Duration
	churn    time.Duration
	soak     time.Duration
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("reliability", flag.ContinueOnError)
	flags.SetOutput(stdout)
	var cfg config
	flags.DurationVar(&cfg.fuzzTime, "fuzztime", 5*time.Second, "of each fuzz target")
	flags.DurationVar(&cfg.faults, "faults", 15*time.Second, "of the storm of faults, for each way to serve")
	flags.DurationVar(&cfg.churn, "churn", 5*time.Second, "of each run of churn and canaries")
	flags.DurationVar(&cfg.soak, "soak", time.Minute, "of the soak, for each driver")
	check := flags.Bool("check", false, "run nothing; say whether the page's rows are the program's, and their tests there")
	uncovered := flags.Bool("uncovered", false, "print the statements that no test reached as well")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if cfg.fuzzTime <= 0 || cfg.faults <= 0 || cfg.churn <= 0 || cfg.soak <= 0 {
		return fmt.Errorf("all durations must be above 0")
	}
	var err error
	if cfg.root, err = harness.Root(ctx); err != nil {
		return err
	}
	file := filepath.Join(cfg.root, "docs", "reliability.md")
	page, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	targets, err := fuzzTargets(cfg.root)
	if err != nil {
		return err
	}
	if *check {
		return checkPage(string(page), cfg.root, targets, sections)
	}
	res, err := collect(ctx, cfg, targets, stdout)
	if err != nil {
		return err
	}
	tables, err := res.tables(cfg)
	if err != nil {
		return err
	}
	if *uncovered {
		for _, b := range res.coverage.missed() {
			fmt.Fprintln(stdout, "not covered:", b)
		}
	}
	text, err := replace(string(page), tables)
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(text), 0o644)
}
