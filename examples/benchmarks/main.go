// Benchmarks measures what docs/benchmarks.md says, and writes it: the page, its charts
// and the numbers in the README.
//
//	go run ./examples/benchmarks                    # everything, three quarters of an hour
//	go run ./examples/benchmarks -only peers,drain  # these, and the page with them
//	go run ./examples/benchmarks -render            # nothing, the page as measured before
//
// It is a module of its own because it requires the libraries that it compares with. The
// programs that it runs print tables when they are run alone:
//
//	go run ./examples/benchmarks/peers       # WebSocket servers with other libraries
//	go run ./examples/benchmarks/stack       # what components cost a request
//	go run ./examples/benchmarks/stalled     # what one client that does not read does to the others
//	go run ./examples/benchmarks/blocking    # what callbacks that block do to the others
//	go run ./examples/benchmarks/batches     # what broadcasts that come together cost, and who waits for them
//	go run ./examples/benchmarks/idle        # what 15,000 sockets cost that do nothing
//	go run ./examples/benchmarks/compression # what compressing a broadcast costs and saves
//	go run ./examples/benchmarks/drain       # how a server with 8,000 sockets ends
//	go run ./examples/benchmarks/soak        # what minutes of load and failing networks leave behind
//
// Most need Linux and two processes with as many descriptors as there are sockets. Soak
// and reliability, which writes docs/reliability.md, are run by themselves. The tests in
// clients let the WebSocket clients of other libraries talk to a Manager.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/report"
)

func main() { harness.Main("benchmarks", run) }

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("benchmarks", flag.ContinueOnError)
	flags.SetOutput(stdout)
	only := flags.String("only", "", "measure these alone, divided by commas: "+strings.Join(names(), ","))
	render := flags.Bool("render", false, "measure nothing, write the page as measured before")
	check := flags.Bool("check", false, "measure and write nothing, fail if the page is not as measured")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen := names()
	if *only != "" {
		chosen = strings.Split(*only, ",")
	}
	for _, name := range chosen {
		if !slices.Contains(names(), name) {
			return fmt.Errorf("-only: nothing is called %q", name)
		}
	}
	root, err := harness.Root(ctx)
	if err != nil {
		return err
	}
	results := filepath.Join(root, "examples", "benchmarks", "results")
	if *check {
		return checked(root, results)
	}
	var missed []error
	for _, m := range measurements {
		if *render || !slices.Contains(chosen, m.name) {
			continue
		}
		fmt.Fprintln(os.Stderr, "measuring", m.name)
		result, err := m.run(ctx)
		if err != nil && result == nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		if err != nil {
			missed = append(missed, fmt.Errorf("%s: %w", m.name, err))
		}
		if err := store(ctx, filepath.Join(results, m.name+".json"), result); err != nil {
			return err
		}
	}
	return errors.Join(errors.Join(missed...), write(root, results, stdout))
}

// store writes what was measured, with where and when.
func store(ctx context.Context, file string, result json.RawMessage) error {
	machine, err := thisMachine(ctx)
	if err != nil {
		return err
	}
	p, err := json.MarshalIndent(report.Stored{Machine: machine, Result: result}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(p, '\n'), 0o644)
}

// write writes the page and what belongs to it, and says which files it has changed.
func write(root, results string, stdout io.Writer) error {
	files, err := stale(root, results)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := os.WriteFile(filepath.Join(root, filepath.FromSlash(name)), files[name], 0o644); err != nil {
			return err
		}
		fmt.Fprintln(stdout, "wrote", name)
	}
	return nil
}

// checked fails unless the files are what the results make.
func checked(root, results string) error {
	files, err := stale(root, results)
	if err != nil || len(files) == 0 {
		return err
	}
	names := slices.Sorted(maps.Keys(files))
	return fmt.Errorf("not as measured: %s; go run ./examples/benchmarks -render writes it", strings.Join(names, ", "))
}

// stale is what files should be that are not what the results make.
func stale(root, results string) (map[string][]byte, error) {
	files, err := rendered(root, results)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(files, func(name string, want []byte) bool {
		got, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		return err == nil && bytes.Equal(got, want)
	})
	return files, nil
}

// rendered is what the results make: files of the repository.
func rendered(root, results string) (map[string][]byte, error) {
	r, err := report.Load(results)
	if err != nil {
		return nil, err
	}
	charts, err := r.Charts()
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for name, drawing := range charts {
		files["docs/images/"+name] = drawing
	}
	if files["docs/benchmarks.md"], err = r.Page(); err != nil {
		return nil, err
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		return nil, err
	}
	files["README.md"], err = r.Readme(readme)
	return files, err
}
