package wsmanager

import (
	"hash/maphash"
	"slices"
	"sync"
)

// groups holds sets of connections by name. A set exists as long as it has
// members. No I/O and no callback ever happens under one of its locks.
type groups struct {
	seed   maphash.Seed
	shards [registryShards]groupShard

	// wants is told when a set has got its first member, and when it has lost its last.
	// It is called under the set's lock; nil without a backplane.
	wants func(name string, on bool)
}

type groupShard struct {
	mu     sync.RWMutex
	groups map[string]*group
}

// group is a set with at least one member, but for the moment of its making and
// for those who still hold it when it is gone.
type group struct {
	name  string
	shard *groupShard
	of    *groups
	queue broadcastQueue

	// Guarded by shard.mu; the same order in both.
	conns []*Conn
	ships []*membership
}

// membership is a connection's place in a group.
type membership struct {
	of *group
	at int // index in the group; guarded by the shard's lock

	delivered uint32 // the number of the last broadcast to the group that was sent to it; guarded by Conn.mu
	receiving bool   // guarded by Conn.mu and the queue's lock
}

func (g *groups) init() {
	g.seed = maphash.MakeSeed()
	for i := range g.shards {
		g.shards[i].groups = make(map[string]*group)
	}
}

func (g *groups) shard(name string) *groupShard {
	return &g.shards[maphash.String(g.seed, name)%registryShards]
}

// bit is the set's in pendingSets.
func (g *groups) bit(name string) uint64 {
	return 1 << (maphash.String(g.seed, name) / registryShards % 64)
}

// get returns the group with the name, nil if it is empty.
func (g *groups) get(name string) *group {
	s := g.shard(name)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.groups[name]
}

// add makes c, which is no member, one.
func (g *groups) add(c *Conn, name string) *membership {
	s := g.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.groups[name]
	if set == nil {
		set = &group{name: name, shard: s, of: g}
		set.queue.to, set.queue.bit = set, g.bit(name)
		s.groups[name] = set
		if g.wants != nil {
			g.wants(name, true)
		}
	}
	ship := &membership{of: set, at: len(set.conns)}
	set.conns = append(set.conns, c)
	set.ships = append(set.ships, ship)
	return ship
}

// leave ends the membership, and the group with its last member.
func (ship *membership) leave() {
	set := ship.of
	set.shard.mu.Lock()
	defer set.shard.mu.Unlock()
	last := len(set.conns) - 1
	set.conns[ship.at], set.ships[ship.at] = set.conns[last], set.ships[last]
	set.ships[ship.at].at = ship.at
	set.conns[last], set.ships[last] = nil, nil
	set.conns, set.ships = set.conns[:last], set.ships[:last]
	switch {
	case last == 0:
		delete(set.shard.groups, set.name)
		if set.of.wants != nil {
			set.of.wants(set.name, false)
		}
	case cap(set.conns) > 64 && last < cap(set.conns)/4:
		set.conns, set.ships = slices.Clone(set.conns), slices.Clone(set.ships)
	}
}

func (set *group) appendTo(list []recipient) []recipient {
	set.shard.mu.RLock()
	defer set.shard.mu.RUnlock()
	for i, c := range set.conns {
		list = append(list, recipient{c, set.ships[i]})
	}
	return list
}

func (set *group) len() int {
	set.shard.mu.RLock()
	defer set.shard.mu.RUnlock()
	return len(set.conns)
}

// len is how many groups there are.
func (g *groups) len() (n int) {
	for i := range g.shards {
		s := &g.shards[i]
		s.mu.RLock()
		n += len(s.groups)
		s.mu.RUnlock()
	}
	return n
}
