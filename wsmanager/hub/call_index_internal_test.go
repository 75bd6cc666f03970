package hub

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCallIndex(t *testing.T) {
	var x callIndex
	newCall := func(i int) *call { return &call{inv: &Invocation{ID: strconv.Itoa(i)}} }
	for _, n := range []int{1, maxListedCalls, maxListedCalls + 1, 100} {
		calls := make([]*call, n)
		for i := range calls {
			calls[i] = newCall(i)
			require.Nil(t, x.get(calls[i].inv.ID))
			x.add(calls[i])
		}
		for i, k := range calls {
			require.Same(t, k, x.get(strconv.Itoa(i)))
			x.remove(newCall(i)) // another call with this id
			require.Same(t, k, x.get(strconv.Itoa(i)))
		}
		for i := range calls {
			k := calls[(i+n/2)%n]
			x.remove(k)
			require.Nil(t, x.get(k.inv.ID))
			require.Nil(t, k.nextByID)
			x.remove(k)
		}
		require.Equal(t, callIndex{}, x, "without calls it takes no memory")
	}
}
