package main

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// histogram counts durations in buckets that are less than a hundredth of their value
// wide: each power of two is cut into 128. It takes the same memory whatever is
// counted, and all methods are safe for concurrent use.
type histogram struct {
	buckets [histogramBuckets]atomic.Uint64
	longest atomic.Int64
}

const (
	fineBits         = 7 // 128 buckets for a power of two
	longestBits      = 42
	longestCounted   = time.Duration(1<<longestBits - 1) // 73 minutes; what is longer counts as that
	histogramBuckets = (longestBits - fineBits + 1) << fineBits
)

// bucketOf returns the bucket of a duration: durations below 128 ns have one each, and
// the seven bits below the highest one choose one otherwise.
func bucketOf(d time.Duration) int {
	n := uint64(min(max(d, 0), longestCounted))
	shift := max(bits.Len64(n)-fineBits-1, 0)
	return shift<<fineBits + int(n>>shift)
}

// bucketEnd returns the longest duration of a bucket.
func bucketEnd(i int) time.Duration {
	if i < 2<<fineBits {
		return time.Duration(i)
	}
	shift := i>>fineBits - 1
	return time.Duration(uint64(i-shift<<fineBits+1)<<shift - 1)
}

// add counts a duration.
func (h *histogram) add(d time.Duration) {
	h.buckets[bucketOf(d)].Add(1)
	for {
		old := h.longest.Load()
		if int64(d) <= old || h.longest.CompareAndSwap(old, int64(d)) {
			return
		}
	}
}

// counts is a histogram at one time.
type counts struct {
	buckets []uint64
	total   uint64
	longest time.Duration
}

// merge adds up histograms.
func merge(hs ...*histogram) counts {
	c := counts{buckets: make([]uint64, histogramBuckets)}
	for _, h := range hs {
		for i := range h.buckets {
			n := h.buckets[i].Load()
			c.buckets[i] += n
			c.total += n
		}
		c.longest = max(c.longest, time.Duration(h.longest.Load()))
	}
	return c
}

// quantile returns a duration that the part q of all durations is not above: the
// nearest-rank one, or up to 0.8 % more, but never more than the longest. It is 0 of
// nothing.
func (c *counts) quantile(q float64) time.Duration {
	rank := max(uint64(math.Ceil(q*float64(c.total))), 1)
	seen := uint64(0)
	for i, n := range c.buckets {
		if seen += n; seen >= rank {
			return min(bucketEnd(i), c.longest)
		}
	}
	return c.longest
}

// row is one of the printed histogram: how many were above the row before and not
// above upTo.
type row struct {
	upTo  time.Duration
	count uint64
}

// rows puts the counts into rows whose bounds are round: those of a decade are listed
// in the finest of steps that leaves at most limit rows, if one does.
func (c *counts) rows(limit int) []row {
	var rows []row
	for _, steps := range [][]float64{{1, 1.5, 2, 3, 5, 7}, {1, 2, 5}, {1, 3}, {1}} {
		if rows = c.rowsOf(steps); len(rows) <= limit {
			break
		}
	}
	return rows
}

func (c *counts) rowsOf(steps []float64) []row {
	var rows []row
	bound := newBounds(steps)
	upTo, count := bound(), uint64(0)
	next := func() {
		if count > 0 || len(rows) > 0 { // none before the first that counts
			rows = append(rows, row{upTo, count})
		}
		upTo, count = bound(), 0
	}
	left := c.total
	for i, n := range c.buckets {
		if n == 0 {
			continue
		}
		for i > 0 && bucketEnd(i-1)+1 > upTo { // the shortest of the bucket: it is as good as the longest
			next()
		}
		count += n
		if left -= n; left == 0 {
			next()
			break
		}
	}
	return rows
}

// newBounds walks the bounds of rows, from a microsecond on.
func newBounds(steps []float64) func() time.Duration {
	i, decade := 0, float64(time.Microsecond)
	return func() time.Duration {
		d := time.Duration(steps[i] * decade)
		if i++; i == len(steps) {
			i, decade = 0, decade*10
		}
		return d
	}
}
