package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
)

// stored is a file of results.
type stored struct {
	Machine machine         `json:"machine"`
	Result  json.RawMessage `json:"result"`
}

// machine is the place and the day of a measurement.
type machine struct {
	CPU    string `json:"cpu"`
	CPUs   int    `json:"cpus"`
	Memory string `json:"memory"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	Date   string `json:"date"` // 2006-01-02
}

func (m machine) String() string {
	return fmt.Sprintf("%d CPUs (%s), %s of memory, %s, %s, %s", m.CPUs, m.CPU, m.Memory, m.Kernel, m.Go, m.Date)
}

func thisMachine(ctx context.Context) (machine, error) {
	goVersion, err := harness.Command(ctx, "", "go", "env", "GOVERSION")
	if err != nil {
		return machine{}, err
	}
	kib, _ := strconv.Atoi(find("/proc/meminfo", `(?m)^MemTotal:\s*(\d+) kB$`)) // 0 if unknown
	return machine{
		CPU:  strings.Join(strings.Fields(find("/proc/cpuinfo", `(?m)^model name\s*: (.*)$`)), " "),
		CPUs: runtime.NumCPU(), Memory: fmt.Sprintf("%d GiB", (kib+1<<19)>>20),
		Kernel: "Linux " + find("/proc/sys/kernel/osrelease", `^(\d+\.\d+)`),
		Go:     strings.TrimSpace(string(goVersion)), Date: time.Now().Format(time.DateOnly),
	}, nil
}

// find returns the text of a pattern's group in a file, or "unknown".
func find(file, pattern string) string {
	p, _ := os.ReadFile(file) // empty if it can't be read
	if m := regexp.MustCompile(pattern).FindSubmatch(p); m != nil {
		return string(m[1])
	}
	return "unknown"
}

// load reads the figures of a measurement into v, a pointer.
func load(root, name string, v any) (machine, error) {
	p, err := os.ReadFile(resultFile(root, name))
	if err != nil {
		return machine{}, err
	}
	var s stored
	if err := json.Unmarshal(p, &s); err != nil {
		return machine{}, err
	}
	return s.Machine, json.Unmarshal(s.Result, v)
}
