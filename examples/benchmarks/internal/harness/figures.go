package harness

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Percentile returns the pth percentile of sorted values, or the zero value if there are
// none.
func Percentile[T cmp.Ordered](sorted []T, p float64) T {
	if len(sorted) == 0 {
		var zero T
		return zero
	}
	return sorted[min(int(float64(len(sorted))*p/100), len(sorted)-1)]
}

// Median returns the median of the values.
func Median[T cmp.Ordered](values []T) T {
	return Percentile(slices.Sorted(slices.Values(values)), 50)
}

// MedianOf returns the median of one figure of the values.
func MedianOf[V any, T cmp.Ordered](values []V, figure func(V) T) T {
	var all []T
	for _, v := range values {
		all = append(all, figure(v))
	}
	return Median(all)
}

// Latency summarises durations.
type Latency struct {
	P50     time.Duration `json:"p50_ns"`
	P99     time.Duration `json:"p99_ns"`
	Longest time.Duration `json:"longest_ns"`
}

// LatencyOf sorts the durations and summarises them.
func LatencyOf(all []time.Duration) Latency {
	slices.Sort(all)
	return Latency{Percentile(all, 50), Percentile(all, 99), Percentile(all, 100)}
}

// Milliseconds converts a duration.
func Milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Microseconds converts a duration.
func Microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// MiB formats a number of bytes.
func MiB(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

// Recorder collects durations while it is switched on. Its methods are safe for
// concurrent use.
type Recorder struct {
	mu     sync.Mutex // guards the fields below
	on     bool
	values []time.Duration
}

// Start switches the recorder on.
func (r *Recorder) Start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.on = true
}

// Add records a duration if the recorder is on.
func (r *Recorder) Add(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.on {
		r.values = append(r.values, d)
	}
}

// Stop switches the recorder off and returns the durations since Start.
func (r *Recorder) Stop() []time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	values := r.values
	r.on, r.values = false, nil
	return values
}

// Counts formats a map as "8000 × 1001, 2 × EOF".
func Counts[K cmp.Ordered](m map[K]int) string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, fmt.Sprintf("%d × %v", m[k], k))
	}
	return strings.Join(list, ", ")
}
