package wsmanager

import (
	"hash/maphash"
	"iter"
	"sync"
	"sync/atomic"
)

// registry holds the connections of a Manager by id. No I/O and no callback ever
// happens under one of its locks.
type registry struct {
	seed   maphash.Seed
	count  atomic.Int64
	shards [registryShards]shard
}

const registryShards = 16

type shard struct {
	mu    sync.RWMutex
	conns map[string]*Conn
}

func (r *registry) init() {
	r.seed = maphash.MakeSeed()
	for i := range r.shards {
		r.shards[i].conns = make(map[string]*Conn)
	}
}

func (r *registry) shard(id string) *shard {
	return &r.shards[maphash.String(r.seed, id)%registryShards]
}

func (r *registry) add(c *Conn) {
	s := r.shard(c.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c.id] = c
	r.count.Add(1)
}

func (r *registry) remove(c *Conn) {
	s := r.shard(c.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns[c.id] == c {
		delete(s.conns, c.id)
		r.count.Add(-1)
	}
}

func (r *registry) get(id string) *Conn {
	s := r.shard(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.conns[id]
}

// snapshots lends the slices through which all walks.
var snapshots = sync.Pool{New: func() any { return new([]*Conn) }}

// all walks the connections that are registered when the walk begins; those that
// are registered from its first step on are not seen. So whoever was told of a
// broadcast, and connects because of it, does not get it as well.
func (r *registry) all() iter.Seq[*Conn] {
	return func(yield func(*Conn) bool) {
		buf := snapshots.Get().(*[]*Conn)
		defer func() {
			clear(*buf) // a pool must keep no connection alive
			*buf = (*buf)[:0]
			snapshots.Put(buf)
		}()
		for i := range r.shards {
			s := &r.shards[i]
			s.mu.RLock()
			for _, c := range s.conns {
				*buf = append(*buf, c)
			}
			s.mu.RUnlock()
		}
		for _, c := range *buf {
			if !yield(c) {
				return
			}
		}
	}
}
