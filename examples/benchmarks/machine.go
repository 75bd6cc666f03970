package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/report"
)

var (
	cpuModel    = regexp.MustCompile(`(?m)^model name\s*: (.*)$`)
	memoryTotal = regexp.MustCompile(`(?m)^MemTotal:\s*(\d+) kB$`)
)

// thisMachine says where and when; what it can't find out it says so of.
func thisMachine(ctx context.Context) (report.Machine, error) {
	goVersion, err := harness.Command(ctx, "go", "env", "GOVERSION")
	if err != nil {
		return report.Machine{}, err
	}
	m := report.Machine{
		CPU: "unknown", CPUs: runtime.NumCPU(), Memory: "unknown", Kernel: runtime.GOOS,
		Go: strings.TrimSpace(string(goVersion)), Date: time.Now().Format(time.DateOnly),
	}
	if found := find("/proc/cpuinfo", cpuModel); found != "" {
		m.CPU = strings.Join(strings.Fields(found), " ")
	}
	if kib, err := strconv.Atoi(find("/proc/meminfo", memoryTotal)); err == nil {
		m.Memory = fmt.Sprintf("%d GiB", (kib+1<<19)>>20)
	}
	if release := find("/proc/sys/kernel/osrelease", regexp.MustCompile(`^(\d+\.\d+)`)); release != "" {
		m.Kernel = "Linux " + release
	}
	return m, nil
}

// find returns what a pattern's group finds in a file, "" for nothing.
func find(file string, pattern *regexp.Regexp) string {
	p, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	if m := pattern.FindSubmatch(p); m != nil {
		return string(m[1])
	}
	return ""
}
