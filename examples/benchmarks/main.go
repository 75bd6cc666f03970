// Benchmarks runs the measurements of docs/benchmarks.md, stores their figures in results,
// and writes the tables of the pages from them.
//
//	go run ./examples/benchmarks                    # everything, half an hour
//	go run ./examples/benchmarks -only peers,drain  # these
//	go run ./examples/benchmarks -render            # only the tables, from the stored figures
//
// It is a module of its own because it requires other WebSocket libraries. The programs
// also print a table when they are run alone:
//
//	go run ./examples/benchmarks/peers     # servers with other libraries
//	go run ./examples/benchmarks/stalled   # the effect of a client that does not read
//	go run ./examples/benchmarks/blocking  # the effect of callbacks that block
//	go run ./examples/benchmarks/batches   # broadcasts in quick succession
//	go run ./examples/benchmarks/drain     # graceful shutdown with 8,000 connections
//	go run ./examples/benchmarks/soak      # minutes of load with failing networks
//
// They need Linux, and as many descriptors as connections in each of two processes. The
// tests in clients connect a Manager with the clients of other libraries, and our client
// with their servers.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
)

// measurement is a command and the name of its stored figures.
type measurement struct {
	name    string
	command []string // from the root module's folder
}

func program(name string, args ...string) measurement {
	dir, _, _ := strings.Cut(name, "-") // a name may have a suffix: soak-goroutine
	return measurement{name, append([]string{"go", "run", "./examples/benchmarks/" + dir, "-json"}, args...)}
}

func benchmark(name, pattern, pkg string) measurement {
	return measurement{name, []string{"go", "test", "-run", "^$", "-bench", pattern, "-benchmem", "-count", "5", pkg}}
}

var measurements = []measurement{
	program("peers"), program("stalled"), program("drain"), program("blocking"), program("batches"),
	program("soak", "-duration", "1m"), program("soak-goroutine", "-duration", "1m", "-driver", "goroutine"),
	benchmark("go-pipeline", "Observe|PassThrough", "./pipeline"),
	benchmark("go-branch", "Map", "./branch"),
	benchmark("go-http2", "EchoByProtocol", "./wsmanager"),
	benchmark("go-compressed", "CompressedSend/size=(2048|16384)/level=(1|6)$", "./wsmanager"),
	benchmark("go-hub", "Calls", "./wsmanager/hub/msgpack"),
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "benchmarks:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("benchmarks", flag.ContinueOnError)
	flags.SetOutput(stdout)
	only := flags.String("only", "", "comma-separated names of measurements")
	render := flags.Bool("render", false, "measure nothing, write the tables")
	check := flags.Bool("check", false, "measure and write nothing, fail if a table differs from the stored figures")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen := measurements
	if *only != "" {
		names := strings.Split(*only, ",")
		chosen = slices.DeleteFunc(slices.Clone(measurements), func(m measurement) bool { return !slices.Contains(names, m.name) })
		if len(chosen) != len(names) {
			return fmt.Errorf("-only %s: a name is unknown or repeated", *only)
		}
	}
	root, err := harness.Root(ctx)
	if err != nil {
		return err
	}
	var missed []error
	for _, m := range chosen {
		if *render || *check {
			break
		}
		fmt.Fprintln(os.Stderr, "measuring", m.name)
		missedBound, err := m.store(ctx, root)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		missed = append(missed, missedBound)
	}
	return errors.Join(errors.Join(missed...), writeTables(root, *check, stdout))
}

// store measures and stores the figures. A program that has missed a bound has figures
// too; missed reports it.
func (m *measurement) store(ctx context.Context, root string) (missed, err error) {
	var s stored
	if s.Machine, err = thisMachine(ctx); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, m.command[0], m.command[1:]...)
	cmd.Dir, cmd.Stderr = root, os.Stderr
	out, missed := cmd.Output()
	switch s.Result = out; {
	case m.command[1] == "test" && missed != nil:
		return nil, missed
	case m.command[1] == "test":
		s.Result, err = parseBenchmarks(out)
	case !json.Valid(out):
		return nil, errors.Join(missed, errors.New("the output is not JSON"))
	}
	if err != nil {
		return nil, err
	}
	p, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, err
	}
	return missed, os.WriteFile(resultFile(root, m.name), append(p, '\n'), 0o644)
}

// parseBenchmarks collects the figures that go test has printed, by benchmark and unit.
func parseBenchmarks(out []byte) (json.RawMessage, error) {
	all := map[string]map[string][]float64{}
	for line := range bytes.Lines(out) {
		fields := strings.Fields(string(line)) // BenchmarkName-2 1000 413.5 ns/op …
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(fields[0], "Benchmark")
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			if _, err := strconv.Atoi(name[i+1:]); err == nil { // the number of processors
				name = name[:i]
			}
		}
		if all[name] == nil {
			all[name] = map[string][]float64{}
		}
		for pair := range slices.Chunk(fields[2:], 2) {
			v, err := strconv.ParseFloat(pair[0], 64)
			if err != nil || len(pair) < 2 {
				return nil, fmt.Errorf("not a line of a benchmark: %q", line)
			}
			all[name][pair[1]] = append(all[name][pair[1]], v)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("go test has printed no benchmark")
	}
	return json.Marshal(all)
}

func resultFile(root, name string) string {
	return filepath.Join(root, "examples", "benchmarks", "results", name+".json")
}
