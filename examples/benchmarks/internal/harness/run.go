package harness

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// Check is one row of a program's report.
type Check struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Bound string `json:"bound"` // empty if the value is only reported
	OK    bool   `json:"ok"`
}

// Report is the JSON output of a program.
type Report struct {
	Result any     `json:"result"`
	Checks []Check `json:"checks"`
}

// Setup defines the flags of a program and returns its measurement, which is called after
// the flags have been parsed.
type Setup func(flags *flag.FlagSet) func(ctx context.Context) (result any, checks []Check, err error)

// Main runs a program until it ends or a signal arrives. A missed bound or an error ends
// the process with status 1.
func Main(name string, setup Setup) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C terminates the process at once
	if err := Run(ctx, name, setup, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// Run parses the arguments, measures, and prints a table, or JSON with -json. It returns
// an error if a bound was missed.
func Run(ctx context.Context, name string, setup Setup, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(stdout)
	measure := setup(flags)
	asJSON := flags.Bool("json", false, "print all figures as JSON")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := requirePositive(flags); err != nil {
		return err
	}
	result, checks, err := measure(ctx)
	if err != nil {
		return err
	}
	return Report{result, checks}.write(stdout, *asJSON)
}

// requirePositive rejects numbers and durations that are not above 0: in no program does
// such a flag have a meaning.
func requirePositive(flags *flag.FlagSet) error {
	var errs []error
	flags.VisitAll(func(f *flag.Flag) {
		getter, ok := f.Value.(flag.Getter)
		if !ok {
			return
		}
		switch getter.Get().(type) {
		case bool, string:
			return
		}
		if v := f.Value.String(); strings.HasPrefix(v, "-") || v == "0" || v == "0s" {
			errs = append(errs, fmt.Errorf("-%s is %s: it must be above 0", f.Name, v))
		}
	})
	return errors.Join(errs...)
}

func (r Report) write(w io.Writer, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		if err := enc.Encode(r); err != nil {
			return err
		}
	} else {
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "name\tmeasured\tbound\t")
		for _, c := range r.Checks {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", c.Name, c.Value, c.Bound, map[bool]string{false: "MISSED"}[c.OK])
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	missed := 0
	for _, c := range r.Checks {
		if !c.OK {
			missed++
		}
	}
	if missed > 0 {
		return fmt.Errorf("%d of %d bounds missed", missed, len(r.Checks))
	}
	return nil
}

// DriverFlag defines a flag for the server's driver, whose default is the value of d.
func DriverFlag(flags *flag.FlagSet, name string, d *wsmanager.Driver) {
	flags.Func(name, "driver of the server: auto, goroutine or eventloop (default "+d.String()+")", func(name string) error {
		for _, known := range []wsmanager.Driver{wsmanager.DriverAuto, wsmanager.DriverGoroutine, wsmanager.DriverEventLoop} {
			if known.String() == name {
				*d = known
				return nil
			}
		}
		return fmt.Errorf("unknown driver %q: auto, goroutine or eventloop", name)
	})
}
