package broadcast

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// After many connections have closed, their group releases its memory.
func TestGroupsShrink(t *testing.T) {
	h := newHouse(5000)
	for _, c := range h.conns {
		h.Join(c, &h.groups, "g")
	}
	for _, c := range h.conns[5:] {
		c.reception.LeaveAll()
	}
	set := h.groups.Get("g")
	require.Equal(t, 5, set.Len())
	require.LessOrEqual(t, cap(set.conns), 64)
	require.LessOrEqual(t, cap(set.members), 64)
	for _, c := range h.conns[:5] {
		require.Contains(t, set.conns, c)
		c.reception.LeaveAll()
	}
	require.Nil(t, h.groups.Get("g"))
}

// A pooled slice of the registry kept closed connections reachable.
func TestSnapshotsKeptConnectionsAlive(t *testing.T) {
	h := newHouse(1000)
	seen := 0
	for range Walk[*fakeConn](h) {
		seen++
	}
	require.Equal(t, 1000, seen)
	s := NewSnapshot[*fakeConn]()
	for _, r := range s.Recipients[:cap(s.Recipients)] {
		require.Zero(t, r)
	}
	s.Release()
}

// A connection of several groups is once in their union.
func TestUnique(t *testing.T) {
	h := newHouse(3)
	s := NewSnapshot[*fakeConn]()
	defer s.Release()
	s.Recipients = h.AppendTo(h.AppendTo(s.Recipients))
	s.Unique()
	require.Len(t, s.Recipients, 3)
}
