package registry

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// Element is a pointer to a value with an id and a link.
type Element[T any] interface {
	comparable

	// RegistryLink returns the id, which never changes, and the variable that the Table uses
	// to link the element, the same one at each call.
	RegistryLink() (id string, next *T)

	// RegistryFind returns the element with the id in the chain that begins with this one,
	// or the zero T. (Get would need a call for each element of the chain.)
	RegistryFind(id string) T
}

// Table has elements by id. It must be set up with Init. All other methods are safe for
// concurrent use.
type Table[T Element[T]] struct {
	seed   maphash.Seed
	count  atomic.Int64
	shards [shards]shard[T]
}

const shards = 16

type shard[T Element[T]] struct {
	mu      sync.RWMutex
	buckets []T // beginnings of chains; their number is a power of two, or 0
	count   int
}

// Init sets the table up.
func (t *Table[T]) Init() { t.seed = maphash.MakeSeed() }

// find returns the shard of an id, and the hash that selects its bucket there.
func (t *Table[T]) find(id string) (*shard[T], uint64) {
	h := maphash.String(t.seed, id)
	return &t.shards[h%shards], h / shards
}

// bucket returns the beginning of the chain for a hash. The shard has at least one bucket.
func (s *shard[T]) bucket(hash uint64) *T { return &s.buckets[hash&uint64(len(s.buckets)-1)] }

// resize distributes the elements over n buckets.
func (t *Table[T]) resize(s *shard[T], n int) {
	var none T
	old := s.buckets
	s.buckets = make([]T, n)
	for _, x := range old {
		for x != none {
			id, next := x.RegistryLink()
			rest := *next
			_, hash := t.find(id)
			b := s.bucket(hash)
			*next, *b = *b, x
			x = rest
		}
	}
}

// Add adds an element, which must not be in a table.
func (t *Table[T]) Add(x T) {
	id, next := x.RegistryLink()
	s, hash := t.find(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count++; s.count > len(s.buckets) {
		t.resize(s, max(8, 2*len(s.buckets)))
	}
	b := s.bucket(hash)
	*next, *b = *b, x
	t.count.Add(1)
}

// Remove removes an element, if it is in the table.
func (t *Table[T]) Remove(x T) {
	var none T
	id, next := x.RegistryLink()
	s, hash := t.find(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count == 0 {
		return
	}
	b := s.bucket(hash)
	for *b != x {
		if *b == none {
			return
		}
		_, b = (*b).RegistryLink()
	}
	*b, *next = *next, none
	t.count.Add(-1)
	if s.count--; s.count < len(s.buckets)/4 && s.count >= 4 {
		t.resize(s, len(s.buckets)/2)
	}
}

// Len returns the number of elements.
func (t *Table[T]) Len() int { return int(t.count.Load()) }

// Get returns the element with the id, or the zero T.
func (t *Table[T]) Get(id string) (x T) {
	var none T
	s, hash := t.find(id)
	s.mu.RLock()
	if s.count != 0 {
		if x = *s.bucket(hash); x != none {
			x = x.RegistryFind(id)
		}
	}
	s.mu.RUnlock()
	return x
}

// Walk calls f for each shard that has elements, under its lock, with the beginnings of its
// chains: each is an element or the zero T. f follows the links of the elements. (A call for
// each element would take most of the time of a walk.) f must not change the slice or a
// link, and must not call methods of the table.
func (t *Table[T]) Walk(f func(chains []T)) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.RLock()
		if s.count != 0 {
			f(s.buckets)
		}
		s.mu.RUnlock()
	}
}
