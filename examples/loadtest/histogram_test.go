package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The buckets have no gaps, and none is wider than a hundredth of its value.
func TestBuckets(t *testing.T) {
	last := time.Duration(-1)
	for i := range histogramBuckets {
		end := bucketEnd(i)
		require.Equal(t, i, bucketOf(last+1))
		require.Equal(t, i, bucketOf(end))
		require.LessOrEqual(t, float64(end-last-1), float64(last+1)/100, "bucket %d, from %d to %d", i, last+1, end)
		last = end
	}
	require.Equal(t, longestCounted, last)
	require.Equal(t, histogramBuckets-1, bucketOf(math.MaxInt64))
	require.Zero(t, bucketOf(-5))
}

// The quantiles are those of the sorted durations, or less than a hundredth above.
func TestQuantiles(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for name, next := range map[string]func() time.Duration{
		"even":      func() time.Duration { return time.Duration(r.Int64N(int64(time.Second))) },
		"long tail": func() time.Duration { return time.Duration(math.Exp(r.NormFloat64()*2) * 1e6) },
		"all alike": func() time.Duration { return 1234567 },
		"tiny":      func() time.Duration { return time.Duration(r.IntN(100)) },
		"two peaks": func() time.Duration { return time.Duration(1+r.IntN(2)*999) * time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			for _, n := range []int{1, 2, 3, 10, 999, 1000, 10_000} {
				hs := []*histogram{{}, {}}
				var exact []time.Duration
				for i := range n {
					d := next()
					hs[i%2].add(d)
					exact = append(exact, d)
				}
				slices.Sort(exact)
				c := merge(hs...)
				require.EqualValues(t, n, c.total)
				require.Equal(t, exact[n-1], c.longest)
				for _, q := range []float64{0.001, 0.5, 0.9, 0.99, 0.999, 1} {
					want := exact[max(int(math.Ceil(q*float64(n))), 1)-1]
					got := c.quantile(q)
					require.GreaterOrEqual(t, got, want, "%v of %d", q, n)
					require.LessOrEqual(t, float64(got), float64(want)*1.01, "%v of %d", q, n)
				}
			}
		})
	}
	c := merge(&histogram{})
	require.Zero(t, c.quantile(0.5))
	require.Nil(t, quantilesOf(c))
}

func TestHistogramIsConcurrent(t *testing.T) {
	var h histogram
	var adding sync.WaitGroup
	for i := range 8 {
		adding.Go(func() {
			for j := range 1000 {
				h.add(time.Duration(i*1000 + j))
			}
		})
	}
	adding.Wait()
	c := merge(&h)
	require.EqualValues(t, 8000, c.total)
	require.EqualValues(t, 7999, c.longest)
}

func TestRows(t *testing.T) {
	var h histogram
	for _, d := range []time.Duration{500, 1000, 120 * time.Microsecond, 130 * time.Microsecond, 290 * time.Microsecond} {
		h.add(d)
	}
	c := merge(&h)
	rows := c.rows(20)
	require.Equal(t, row{time.Microsecond, 2}, rows[0])
	require.Equal(t, []row{{150 * time.Microsecond, 2}, {200 * time.Microsecond, 0}, {300 * time.Microsecond, 1}}, rows[len(rows)-3:])

	// A wide range has wider rows, not more rows.
	h.add(40 * time.Second)
	c = merge(&h)
	rows = c.rows(20)
	require.LessOrEqual(t, len(rows), 20)
	total := uint64(0)
	for _, r := range rows {
		total += r.count
	}
	require.EqualValues(t, 6, total)
	require.Equal(t, row{100 * time.Second, 1}, rows[len(rows)-1])

	c = merge(&histogram{})
	require.Empty(t, c.rows(20))
	h = histogram{}
	h.add(2 * longestCounted)
	c = merge(&h)
	require.Len(t, c.rows(20), 1)
}
