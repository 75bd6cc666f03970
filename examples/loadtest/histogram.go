package main

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// histogram counts durations in buckets whose width is less than a hundredth of their value:
// each power of two is divided into 128. Its memory is constant. Its methods are safe for
// concurrent use.
type histogram struct {
	buckets [histogramBuckets]atomic.Uint64
	longest atomic.Int64
}

const (
	fineBits         = 7 // 128 buckets per power of two
	longestBits      = 42
	longestCounted   = time.Duration(1<<longestBits - 1) // 73 minutes; longer durations count as this
	histogramBuckets = (longestBits - fineBits + 1) << fineBits
)

// bucketOf returns the bucket of a duration. Durations below 128 ns have one each. For
// others the seven bits after the highest one select the bucket.
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

// counts is a snapshot of a histogram.
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

// quantile returns the nearest-rank quantile, or up to 0.8 % more, but not more than the
// longest duration. It returns 0 if the histogram is empty.
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

// row is a row of the printed histogram: the number of durations above the previous row and
// not above upTo.
type row struct {
	upTo  time.Duration
	count uint64
}

// rows groups the counts into rows with round bounds. It chooses the finest steps of a decade
// that need at most limit rows, or the coarsest.
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
		if count > 0 || len(rows) > 0 { // no empty rows at the beginning
			rows = append(rows, row{upTo, count})
		}
		upTo, count = bound(), 0
	}
	left := c.total
	for i, n := range c.buckets {
		if n == 0 {
			continue
		}
		for i > 0 && bucketEnd(i-1)+1 > upTo { // a bucket belongs to the row of its shortest duration
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

// newBounds returns a function that returns the bounds of rows in turn, from one microsecond.
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
