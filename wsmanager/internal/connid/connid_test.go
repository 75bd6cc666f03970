package connid

import (
	"encoding/base32"
	"math"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// IDs that are created concurrently are unique, and each of their 128 bits is set in half of
// them, within six standard deviations. Random data exceeds that once in 500 million tests.
func TestIDsAreRandom(t *testing.T) {
	const makers, each = 8, 5000
	made := make([][]string, makers)
	var wg sync.WaitGroup
	for i := range makers {
		wg.Go(func() {
			for range each {
				made[i] = append(made[i], New())
			}
		})
	}
	wg.Wait()
	seen := make(map[string]bool, makers*each)
	var ones [8 * size]int
	for _, part := range made {
		for _, id := range part {
			require.False(t, seen[id], "%s is not unique", id)
			seen[id] = true
			raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(id)
			require.NoError(t, err)
			require.Len(t, id, Length)
			require.Len(t, raw, size)
			for i := range ones {
				ones[i] += int(raw[i/8] >> (i % 8) & 1)
			}
		}
	}
	const n = makers * each
	for i, count := range ones {
		require.InDelta(t, n/2, count, 6*math.Sqrt(n)/2, "bit %d", i)
	}
}
