package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/perf/benchfmt"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/report"
)

// measurement is what a program of this module or a benchmark of go test measures.
type measurement struct {
	name    string
	program string   // of this module
	args    []string // -json apart

	pkg   string // of the repository's root, for go test
	bench string // which benchmarks
}

var measurements = []measurement{
	{name: "peers", program: "peers"},
	{name: "stack", program: "stack"},
	{name: "go-pipeline", pkg: "./pipeline", bench: "Observe|PassThrough"},
	{name: "go-branch", pkg: "./branch", bench: "Map"},
	{name: "go-http2", pkg: "./wsmanager", bench: "EchoByProtocol"},
	{name: "go-compressed", pkg: "./wsmanager", bench: "CompressedSend/size=(2048|16384)/level=(1|6)$"},
	{name: "go-hub", pkg: "./wsmanager/hub/msgpack", bench: "Calls"},
	{name: "compression", program: "compression"},
	{name: "drain", program: "drain"},
	{name: "blocking", program: "blocking"},
	{name: "batches", program: "batches"},
	{name: "idle", program: "idle"},
	{name: "idle-compress", program: "idle", args: []string{"-duration", "1s", "-compress"}},
	{name: "idle-goroutine", program: "idle", args: []string{"-duration", "1s", "-driver", "goroutine"}},
	{name: "idle-goroutine-compress", program: "idle", args: []string{"-duration", "1s", "-driver", "goroutine", "-compress"}},
	{name: "stalled", program: "stalled"},
}

func names() (names []string) {
	for _, m := range measurements {
		names = append(names, m.name)
	}
	return names
}

// run measures. A result with an error is one that has missed a bound.
func (m *measurement) run(ctx context.Context) (json.RawMessage, error) {
	if m.program == "" {
		return m.benchmark(ctx)
	}
	dir, err := os.MkdirTemp("", "benchmarks")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // it is the system's to clean up
	program := filepath.Join(dir, m.program)
	if _, err := harness.Command(ctx, "go", "build", "-o", program, "github.com/speakingtube/speakingtube/examples/benchmarks/"+m.program); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program, append([]string{"-json"}, m.args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if !json.Valid(out) {
		return nil, errors.Join(err, fmt.Errorf("it printed no JSON: %.200q", out))
	}
	return out, err
}

// benchmark runs benchmarks of go test.
func (m *measurement) benchmark(ctx context.Context) (json.RawMessage, error) {
	root, err := harness.Root(ctx)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", m.bench, "-benchmem", "-count", "5", m.pkg)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return parse(m.name, out)
}

// parse collects what go test has printed, by benchmark and unit.
func parse(name string, out []byte) (json.RawMessage, error) {
	all := map[string]report.Benchmark{}
	for lines := benchfmt.NewReader(bytes.NewReader(out), name); lines.Scan(); {
		switch r := lines.Result().(type) {
		case *benchfmt.SyntaxError:
			return nil, r
		case *benchfmt.Result:
			base, parts := r.Name.Parts()
			key := string(base)
			for _, part := range parts {
				if part[0] == '/' { // and not the number of processors
					key += string(part)
				}
			}
			b := all[key]
			if b == nil {
				b = report.Benchmark{}
				all[key] = b
			}
			for _, v := range r.Values {
				value, unit := v.OrigValue, v.OrigUnit
				if unit == "" {
					value, unit = v.Value, v.Unit
				}
				b[unit] = append(b[unit], value)
			}
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("go test printed no benchmark: %s", out)
	}
	return json.Marshal(all)
}
