package broadcast

import (
	"hash/maphash"
	"slices"
	"sync"
)

// Groups has sets of connections by name: the groups of a Manager, or its users. A set
// exists as long as it has members. No I/O and no callback of the application happens under
// its locks. It must be set up with Init. Its other exported methods are safe for concurrent
// use.
type Groups[C comparable] struct {
	seed   maphash.Seed
	shards [groupShards]groupShard[C]

	// OnChange is called with true when a set gets its first member, and with false when
	// it loses its last one, under the set's lock. It may be nil. It must not change once
	// there are members.
	OnChange func(name string, exists bool)
}

const groupShards = 16

type groupShard[C comparable] struct {
	mu     sync.RWMutex
	groups map[string]*Group[C]
}

// Group is a set of connections. It has at least one member as long as it is in Groups.
type Group[C comparable] struct {
	Queue Queue[C]

	name  string
	shard *groupShard[C]
	of    *Groups[C]

	conns   []C              // guarded by shard.mu
	members []*membership[C] // of conns, in the same order; guarded by shard.mu
}

// membership is the membership of a connection in a group.
type membership[C comparable] struct {
	of *Group[C]
	at int // index in the group; guarded by the shard's lock

	delivered uint32 // the number of the last broadcast to the group that was sent to the connection; guarded by its lock
	receiving bool   // guarded by the connection's lock and the queue's
}

// Init sets the groups up.
func (g *Groups[C]) Init() {
	g.seed = maphash.MakeSeed()
	for i := range g.shards {
		g.shards[i].groups = make(map[string]*Group[C])
	}
}

func (g *Groups[C]) shard(name string) *groupShard[C] {
	return &g.shards[maphash.String(g.seed, name)%groupShards]
}

// bit returns the bit of a set in pendingSets.
func (g *Groups[C]) bit(name string) uint64 {
	return 1 << (maphash.String(g.seed, name) / groupShards % 64)
}

// Get returns the group with the name, or nil if it has no members.
func (g *Groups[C]) Get(name string) *Group[C] {
	s := g.shard(name)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.groups[name]
}

// add makes c, which must not be a member, a member.
func (g *Groups[C]) add(c C, name string) *membership[C] {
	s := g.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.groups[name]
	if set == nil {
		set = &Group[C]{name: name, shard: s, of: g}
		set.Queue.Set, set.Queue.bit = set, g.bit(name)
		s.groups[name] = set
		if g.OnChange != nil {
			g.OnChange(name, true)
		}
	}
	m := &membership[C]{of: set, at: len(set.conns)}
	set.conns = append(set.conns, c)
	set.members = append(set.members, m)
	return m
}

// leave ends the membership. The group ends with its last membership.
func (m *membership[C]) leave() {
	set := m.of
	set.shard.mu.Lock()
	defer set.shard.mu.Unlock()
	var none C
	last := len(set.conns) - 1
	set.conns[m.at], set.members[m.at] = set.conns[last], set.members[last]
	set.members[m.at].at = m.at
	set.conns[last], set.members[last] = none, nil
	set.conns, set.members = set.conns[:last], set.members[:last]
	switch {
	case last == 0:
		delete(set.shard.groups, set.name)
		if set.of.OnChange != nil {
			set.of.OnChange(set.name, false)
		}
	case cap(set.conns) > 64 && last < cap(set.conns)/4:
		set.conns, set.members = slices.Clone(set.conns), slices.Clone(set.members)
	}
}

// AppendTo implements Set.
func (set *Group[C]) AppendTo(list []Recipient[C]) []Recipient[C] {
	set.shard.mu.RLock()
	defer set.shard.mu.RUnlock()
	for i, c := range set.conns {
		list = append(list, Recipient[C]{c, set.members[i]})
	}
	return list
}

// Len returns the number of members.
func (set *Group[C]) Len() int {
	set.shard.mu.RLock()
	defer set.shard.mu.RUnlock()
	return len(set.conns)
}

// Len returns how many groups exist.
func (g *Groups[C]) Len() (n int) {
	for i := range g.shards {
		s := &g.shards[i]
		s.mu.RLock()
		n += len(s.groups)
		s.mu.RUnlock()
	}
	return n
}
