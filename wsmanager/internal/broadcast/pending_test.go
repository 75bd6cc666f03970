package broadcast

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Two sets may have the same bit. The set of the caller does not hide the other one.
func TestPendingSets(t *testing.T) {
	const own, other = 1 << 3, 1 << 5
	var p pendingSets
	p.add(0) // the set of all connections is not counted
	require.False(t, p.inAny(^uint64(0)))
	p.add(own)
	require.True(t, p.inAny(own|other))
	require.False(t, p.inAny(other))
	require.False(t, p.inOthers(own|other, own))
	p.add(own)
	require.True(t, p.inOthers(own, own))
	p.remove(own)
	require.False(t, p.inOthers(own, own))
	p.add(other)
	require.True(t, p.inOthers(own|other, own))
	p.remove(other)
	p.remove(own)
	require.False(t, p.inAny(^uint64(0)))
}
