package wsmanager

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// The registry always has the same content as a map, while it grows and shrinks.
func TestRegistryIsAMap(t *testing.T) {
	m, _ := fakeManager(t, Options{})
	r := &m.registry
	want := make(map[string]*Conn)
	check := func() {
		t.Helper()
		require.Equal(t, len(want), m.All().Len())
		seen := r.appendTo(nil)
		require.Len(t, seen, len(want))
		for _, r := range seen {
			c := r.c
			require.Same(t, want[c.id], c)
			require.Same(t, c, m.registry.get(c.id))
		}
		require.Nil(t, r.get("nobody"))
	}
	check()
	for round, goal := range []int{1, 1000, 3, 20_000, 100, 0} {
		for len(want) != goal {
			if grow := len(want) < goal; grow || rand.IntN(10) == 0 {
				c := m.newConn(fmt.Sprint(round, " ", len(want), rand.Uint64()), Accept{}, nil, "")
				r.add(c)
				want[c.id] = c
				continue
			}
			for id, c := range want {
				r.remove(c)
				r.remove(c) // a repeated remove has no effect
				delete(want, id)
				require.Nil(t, r.get(id))
				break
			}
		}
		check()
	}
	for i := range r.shards {
		require.LessOrEqual(t, len(r.shards[i].buckets), 32, "the shard has not shrunk")
	}
}

// After many connections have closed, the registry and the groups release their memory.
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
	var r registry
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
