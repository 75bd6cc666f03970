// Package report makes the page of benchmarks, its charts and the README's numbers out
// of what was measured.
package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
)

// Machine is where and when something was measured.
type Machine struct {
	CPU    string `json:"cpu"`
	CPUs   int    `json:"cpus"`
	Memory string `json:"memory"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	Date   string `json:"date"` // 2006-01-02
}

// Results is all that was measured.
type Results struct {
	Machines map[string]Machine // by measurement

	Stack       []Candidate
	Benchmarks  map[string]Benchmark // by name, without "Benchmark"
	Peers       []Server
	Stalled     Checked
	Drain       Checked
	Blocking    Checked
	Batches     Checked
	Idle        Checked
	IdleOurs    map[string]IdleServer // by measurement: of the program idle
	Compression []Compressed
}

// Candidate is a chain of components around a handler.
type Candidate struct {
	Name    string  `json:"name"`
	Library string  `json:"library"`
	Short   string  `json:"short"`
	Group   string  `json:"group"` // what it is compared with
	P10     float64 `json:"p10_ns"`
	Median  float64 `json:"median_ns"`
	Allocs  float64 `json:"allocations"`
}

// Benchmark has the figures of one of go test's, by their units, of each run.
type Benchmark map[string][]float64

// Median is the middle one of a unit's figures.
func (b Benchmark) Median(unit string) (float64, error) {
	if len(b[unit]) == 0 {
		return 0, fmt.Errorf("a benchmark has no %q", unit)
	}
	return harness.Median(b[unit]), nil
}

// Server is one that was measured beside others.
type Server struct {
	Name    string               `json:"name"`
	Version string               `json:"version"`
	Limit   bool                 `json:"limit"`
	Figures map[string][]float64 `json:"figures"` // of each round
}

// Checked is what a program has measured that has bounds.
type Checked struct {
	Checks []harness.Check `json:"checks"`
}

// IdleServer is what the program idle says of its server.
type IdleServer struct {
	Result struct {
		Each int64 `json:"connection_bytes"`
	} `json:"result"`
}

// Compressed is a row of the program compression.
type Compressed struct {
	Size  int     `json:"size"`
	Level int     `json:"level"`
	CPU   float64 `json:"cpu_us"`
	Bytes float64 `json:"bytes"`
}

// Stored is a file of results.
type Stored struct {
	Machine Machine         `json:"machine"`
	Result  json.RawMessage `json:"result"`
}

// Load reads the files of results in a folder.
func Load(dir string) (*Results, error) {
	r := &Results{Machines: map[string]Machine{}, Benchmarks: map[string]Benchmark{}, IdleOurs: map[string]IdleServer{}}
	for name, into := range map[string]any{
		"stack": &r.Stack, "peers": &r.Peers, "compression": &r.Compression,
		"stalled": &r.Stalled, "drain": &r.Drain, "blocking": &r.Blocking, "batches": &r.Batches, "idle": &r.Idle,
	} {
		if err := r.load(dir, name, into); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"idle", "idle-compress", "idle-goroutine", "idle-goroutine-compress"} {
		var one IdleServer
		if err := r.load(dir, name, &one); err != nil {
			return nil, err
		}
		r.IdleOurs[name] = one
	}
	for _, name := range []string{"go-pipeline", "go-branch", "go-http2", "go-compressed", "go-hub"} {
		if err := r.load(dir, name, &r.Benchmarks); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *Results) load(dir, name string, into any) error {
	p, err := os.ReadFile(filepath.Join(dir, name+".json"))
	if err != nil {
		return err
	}
	var s Stored
	if err := json.Unmarshal(p, &s); err != nil {
		return fmt.Errorf("report: %s: %w", name, err)
	}
	if err := json.Unmarshal(s.Result, into); err != nil {
		return fmt.Errorf("report: %s: %w", name, err)
	}
	r.Machines[name] = s.Machine
	return nil
}
