package wsmanager

import (
	"hash/maphash"
	"iter"
	"sync"
	"sync/atomic"
)

// registry has the connections of a Manager by id. No I/O and no callback happens under
// its locks.
//
// Each shard is a hash table that is chained through the connections. A map would need five
// times the memory and be slower to walk.
type registry struct {
	seed   maphash.Seed
	count  atomic.Int64
	shards [registryShards]shard
	queue  broadcastQueue
}

const registryShards = 16

type shard struct {
	mu      sync.RWMutex
	buckets []*Conn // of chains through Conn.next; their number is a power of two, or 0
	count   int
}

func (r *registry) init() {
	r.seed = maphash.MakeSeed()
	r.queue.to = r
}

// find returns the shard of an id, and the hash that selects its bucket there.
func (r *registry) find(id string) (*shard, uint64) {
	h := maphash.String(r.seed, id)
	return &r.shards[h%registryShards], h / registryShards
}

// bucket returns the beginning of the chain for a hash. The shard has at least one bucket.
func (s *shard) bucket(hash uint64) **Conn { return &s.buckets[hash&uint64(len(s.buckets)-1)] }

// resize distributes the connections over n buckets.
func (r *registry) resize(s *shard, n int) {
	old := s.buckets
	s.buckets = make([]*Conn, n)
	for _, c := range old {
		for c != nil {
			next := c.next
			_, hash := r.find(c.id)
			b := s.bucket(hash)
			c.next, *b = *b, c
			c = next
		}
	}
}

func (r *registry) add(c *Conn) {
	s, hash := r.find(c.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count++; s.count > len(s.buckets) {
		r.resize(s, max(8, 2*len(s.buckets)))
	}
	b := s.bucket(hash)
	c.next, *b = *b, c
	r.count.Add(1)
}

// remove removes c, if it is registered.
func (r *registry) remove(c *Conn) {
	s, hash := r.find(c.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count == 0 {
		return
	}
	b := s.bucket(hash)
	for *b != c {
		if *b == nil {
			return
		}
		b = &(*b).next
	}
	*b, c.next = c.next, nil
	r.count.Add(-1)
	if s.count--; s.count < len(s.buckets)/4 && s.count >= 4 {
		r.resize(s, len(s.buckets)/2)
	}
}

func (r *registry) len() int { return int(r.count.Load()) }

func (r *registry) get(id string) *Conn {
	s, hash := r.find(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.count == 0 {
		return nil
	}
	c := *s.bucket(hash)
	for c != nil && c.id != id {
		c = c.next
	}
	return c
}

// all walks the connections of the shard, under its lock.
func (s *shard) all() iter.Seq[*Conn] {
	return func(yield func(*Conn) bool) {
		for _, c := range s.buckets {
			for ; c != nil; c = c.next {
				if !yield(c) {
					return
				}
			}
		}
	}
}

func (r *registry) appendTo(list []recipient) []recipient {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.RLock()
		for c := range s.all() {
			list = append(list, recipient{c: c})
		}
		s.mu.RUnlock()
	}
	return list
}
