package counters

import (
	"sync"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// Two stripes do not share a cache line.
func TestStripesFillCacheLines(t *testing.T) {
	require.EqualValues(t, 64, unsafe.Sizeof(Traffic{}))
	require.Zero(t, unsafe.Offsetof(Counters{}.stripes))
}

func TestCountersAddUp(t *testing.T) {
	var c Counters
	require.Empty(t, c.ByCode())
	var wg sync.WaitGroup
	const callers, each = 8, 1000
	for i := range callers {
		wg.Go(func() {
			for n := range each {
				traffic := c.Stripe(uint8(i*each + n)) // also numbers above Stripes
				traffic.MessagesIn.Add(1)
				traffic.BytesIn.Add(2)
				traffic.MessagesOut.Add(3)
				traffic.BytesOut.Add(4)
				c.Refuse(RefusalReason(i))
				c.Drop(Unsendable, 2)
				c.Close(uint16(1000 + i%2))
			}
		})
	}
	wg.Wait()
	const all = callers * each
	require.Equal(t, Total{all, 2 * all, 3 * all, 4 * all}, c.Total())
	for reason := range refusals {
		require.EqualValues(t, each, c.Refused(reason))
	}
	require.EqualValues(t, 2*all, c.Dropped(Unsendable))
	require.Zero(t, c.Dropped(Closed))
	closed := c.ByCode()
	require.Equal(t, map[uint16]uint64{1000: all / 2, 1001: all / 2}, closed)
	clear(closed)
	require.Len(t, c.ByCode(), 2, "a copy was cleared")
}
