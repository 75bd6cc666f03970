package wsmanager

import (
	"hash/maphash"
	"iter"
	"slices"
	"sync"
)

// groups has sets of connections by name: the groups of a Manager, or its users. A set
// exists as long as it has members. No I/O and no callback happens under its locks.
type groups struct {
	seed   maphash.Seed
	shards [groupShards]groupShard

	// onChange is called with true when a set gets its first member, and with false when
	// it loses its last one, under the set's lock. It is nil without a backplane.
	onChange func(name string, exists bool)
}

const groupShards = 16

type groupShard struct {
	mu     sync.RWMutex
	groups map[string]*group
}

// group is a set of connections. It has at least one member as long as it is in groups.
type group struct {
	name  string
	shard *groupShard
	of    *groups
	queue broadcastQueue

	conns   []*Conn       // guarded by shard.mu
	members []*membership // of conns, in the same order; guarded by shard.mu
}

// membership is the membership of a connection in a group.
type membership struct {
	of *group
	at int // index in the group; guarded by the shard's lock

	delivered uint32 // the number of the last broadcast to the group that was sent to the connection; guarded by Conn.mu
	receiving bool   // guarded by Conn.mu and the queue's lock
}

// memberships are the groups and the user of a connection. A nil pointer means none.
type memberships struct {
	groups []*membership
	user   *membership // nil without a user
	bits   uint64      // in pendingSets, of these sets and maybe of groups that the connection has left
}

// all walks the memberships.
func (ms *memberships) all() iter.Seq[*membership] {
	return func(yield func(*membership) bool) {
		if ms == nil || ms.user != nil && !yield(ms.user) {
			return
		}
		for _, m := range ms.groups {
			if !yield(m) {
				return
			}
		}
	}
}

// find returns the index of the membership in the group with the name, or -1.
func (ms *memberships) find(name string) int {
	if ms == nil {
		return -1
	}
	return slices.IndexFunc(ms.groups, func(m *membership) bool { return m.of.name == name })
}

func (g *groups) init() {
	g.seed = maphash.MakeSeed()
	for i := range g.shards {
		g.shards[i].groups = make(map[string]*group)
	}
}

func (g *groups) shard(name string) *groupShard {
	return &g.shards[maphash.String(g.seed, name)%groupShards]
}

// bit returns the bit of a set in pendingSets.
func (g *groups) bit(name string) uint64 {
	return 1 << (maphash.String(g.seed, name) / groupShards % 64)
}

// get returns the group with the name, or nil if it has no members.
func (g *groups) get(name string) *group {
	s := g.shard(name)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.groups[name]
}

// add makes c, which must not be a member, a member.
func (g *groups) add(c *Conn, name string) *membership {
	s := g.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.groups[name]
	if set == nil {
		set = &group{name: name, shard: s, of: g}
		set.queue.to, set.queue.bit = set, g.bit(name)
		s.groups[name] = set
		if g.onChange != nil {
			g.onChange(name, true)
		}
	}
	m := &membership{of: set, at: len(set.conns)}
	set.conns = append(set.conns, c)
	set.members = append(set.members, m)
	return m
}

// leave ends the membership. The group ends with its last membership.
func (m *membership) leave() {
	set := m.of
	set.shard.mu.Lock()
	defer set.shard.mu.Unlock()
	last := len(set.conns) - 1
	set.conns[m.at], set.members[m.at] = set.conns[last], set.members[last]
	set.members[m.at].at = m.at
	set.conns[last], set.members[last] = nil, nil
	set.conns, set.members = set.conns[:last], set.members[:last]
	switch {
	case last == 0:
		delete(set.shard.groups, set.name)
		if set.of.onChange != nil {
			set.of.onChange(set.name, false)
		}
	case cap(set.conns) > 64 && last < cap(set.conns)/4:
		set.conns, set.members = slices.Clone(set.conns), slices.Clone(set.members)
	}
}

func (set *group) appendTo(list []recipient) []recipient {
	set.shard.mu.RLock()
	defer set.shard.mu.RUnlock()
	for i, c := range set.conns {
		list = append(list, recipient{c, set.members[i]})
	}
	return list
}

func (set *group) len() int {
	set.shard.mu.RLock()
	defer set.shard.mu.RUnlock()
	return len(set.conns)
}

// len returns how many groups exist.
func (g *groups) len() (n int) {
	for i := range g.shards {
		s := &g.shards[i]
		s.mu.RLock()
		n += len(s.groups)
		s.mu.RUnlock()
	}
	return n
}
