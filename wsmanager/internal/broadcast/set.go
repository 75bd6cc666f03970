package broadcast

import (
	"iter"
	"slices"
	"sync"
)

// Set is a set of connections that can be broadcast to.
type Set[C comparable] interface {
	// AppendTo appends the connections that are in the set now.
	AppendTo(list []Recipient[C]) []Recipient[C]
}

// Recipient is a connection in a set.
type Recipient[C comparable] struct {
	Conn C
	m    *membership[C] // nil in the set of all connections
}

// place is the place of a connection in a set: the state of its reception of broadcasts to
// the set.
type place[C comparable] struct {
	r *Reception[C]
	m *membership[C] // nil in the set of all connections
}

// delivered returns the number of the last broadcast to the set that was sent to the
// connection.
func (p place[C]) delivered() *uint32 {
	if p.m != nil {
		return &p.m.delivered
	}
	return &p.r.delivered
}

// receiving reports whether the connection gets broadcasts to the set: it is in the set,
// ready, and not closing. It changes under the connection's lock and the queue's.
func (p place[C]) receiving() bool {
	if p.m != nil {
		return p.m.receiving
	}
	_, ok := p.r.Receiving()
	return ok
}

func (p place[C]) setReceiving(on bool) {
	if p.m != nil {
		p.m.receiving = on
		return
	}
	p.r.setReceiving(on)
}

// Snapshot is a list of connections from a pool.
type Snapshot[C comparable] struct{ Recipients []Recipient[C] }

var snapshots sync.Pool // of *Snapshot

// NewSnapshot returns an empty list. Release takes it back.
func NewSnapshot[C comparable]() *Snapshot[C] { return pooled[Snapshot[C]](&snapshots) }

// SnapshotOf returns the connections that are in the set now. A connection that joins later
// is not in it: if a client connects because it was told of a broadcast, it does not get
// that broadcast as well.
func SnapshotOf[C comparable](set Set[C]) *Snapshot[C] {
	s := NewSnapshot[C]()
	s.Recipients = set.AppendTo(s.Recipients)
	return s
}

// Release returns the list to the pool.
func (s *Snapshot[C]) Release() {
	clear(s.Recipients) // the pool must not keep connections alive
	s.Recipients = s.Recipients[:0]
	snapshots.Put(s)
}

// Unique removes each connection that is in the list before.
func (s *Snapshot[C]) Unique() {
	seen := make(map[C]struct{}, len(s.Recipients))
	s.Recipients = slices.DeleteFunc(s.Recipients, func(r Recipient[C]) bool {
		_, ok := seen[r.Conn]
		seen[r.Conn] = struct{}{}
		return ok
	})
}

// Walk walks a snapshot of the set.
func Walk[C comparable](set Set[C]) iter.Seq[C] {
	return func(yield func(C) bool) {
		s := SnapshotOf(set)
		defer s.Release()
		for _, r := range s.Recipients {
			if !yield(r.Conn) {
				return
			}
		}
	}
}

// pooled returns an element of the pool, or a new one. A variable of the package can't have
// the type of its element, which has a type parameter.
func pooled[T any](pool *sync.Pool) *T {
	if x, ok := pool.Get().(*T); ok {
		return x
	}
	return new(T)
}
