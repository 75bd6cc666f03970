package pace

import (
	"sync/atomic"
	"time"
)

// Gauge has the average duration of calls. Its zero value knows nothing. All methods are safe for concurrent use.
//
// The average is exponential: a call counts for a sixteenth, the first one wholly. One call counts for at most maxSample,
// because the operating system preempts any call now and then, for milliseconds.
type Gauge struct {
	average atomic.Int64 // in nanoseconds; 0: unknown
}

const (
	// Short is the longest average of functions that need no goroutine. Starting a goroutine costs a few microseconds
	// of processor time, and calls on the goroutine of their caller don't run in parallel.
	Short = 64 * time.Microsecond

	maxSample = 400 * time.Microsecond
	weight    = 16
)

// Record adds a call. Of two calls that end at the same time only one may count.
func (g *Gauge) Record(d time.Duration) {
	sample := int64(min(max(d, 1), maxSample))
	average := g.average.Load()
	if average == 0 {
		g.average.Store(sample)
		return
	}
	if step := (sample - average) / weight; step != 0 {
		g.average.Store(average + step)
	}
}

// IsShort reports whether calls take less than Short on average. It is false before the first call has ended.
func (g *Gauge) IsShort() bool {
	average := g.average.Load()
	return average > 0 && average < int64(Short)
}
