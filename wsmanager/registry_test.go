package wsmanager

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// After many connections have closed, their group releases its memory.
func TestGroupsShrink(t *testing.T) {
	m, _ := fakeManager(t, Options{})
	var conns []*Conn
	for i := range 5000 {
		a := Accept{Groups: []string{"g"}}
		c := m.newConn(fmt.Sprint(i), a, nil, "fake")
		c.m.register(c, a)
		conns = append(conns, c)
	}
	for _, c := range conns[5:] {
		c.m.unregister(c)
	}
	set := m.groups.get("g")
	require.Equal(t, 5, set.len())
	require.LessOrEqual(t, cap(set.conns), 64)
	require.LessOrEqual(t, cap(set.members), 64)
	for _, c := range conns[:5] {
		require.Contains(t, set.conns, c)
		c.m.unregister(c)
	}
	require.Nil(t, m.groups.get("g"))
}

// A pooled slice of the registry kept closed connections reachable.
func TestSnapshotsKeptConnectionsAlive(t *testing.T) {
	var r allConns
	r.init()
	for i := range 1000 {
		r.add(&Conn{id: fmt.Sprint(i)})
	}
	seen := 0
	for range walk(&r) {
		seen++
	}
	require.Equal(t, 1000, seen)
	buf := snapshots.Get().(*[]recipient)
	for _, r := range (*buf)[:cap(*buf)] {
		require.Zero(t, r)
	}
	snapshots.Put(buf)
}
