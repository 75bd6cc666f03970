package broadcast

import (
	"iter"
	"slices"
	"sync/atomic"
)

// Reception says in which encoding a connection gets messages, whether it gets broadcasts,
// and to which sets. Methods whose names begin with Is, Encoding and Receiving are safe
// without the lock of the connection.
type Reception[C comparable] struct {
	bits      atomic.Uint32
	delivered uint32      // number of the last broadcast to all that was sent to the connection
	sets      *ownSets[C] // nil until it is in a group
}

// The parts of Reception.bits.
const (
	encodingBits = 1<<8 - 1 // Encoding + 1; 0 until the connection is ready
	closingBit   = 1 << 8
	receivingBit = 1 << 9 // the connection gets broadcasts to all: see place.receiving
)

// ownSets are the groups and the user of a connection.
type ownSets[C comparable] struct {
	groups []*membership[C]
	user   *membership[C] // nil without a user
	bits   uint64         // in pendingSets, of these sets and maybe of groups that the connection has left
}

// Encoding returns the connection's encoding; false until the connection is ready.
func (r *Reception[C]) Encoding() (Encoding, bool) {
	e := r.bits.Load() & encodingBits
	return Encoding(e - 1), e != 0
}

// Receiving returns the connection's encoding; false if it gets no broadcasts.
func (r *Reception[C]) Receiving() (Encoding, bool) {
	v := r.bits.Load()
	return Encoding(v&encodingBits - 1), v&receivingBit != 0
}

// IsReady reports whether the connection has an encoding.
func (r *Reception[C]) IsReady() bool { return r.bits.Load()&encodingBits != 0 }

// IsClosing reports whether MarkClosing was called.
func (r *Reception[C]) IsClosing() bool { return r.bits.Load()&closingBit != 0 }

// MarkClosing notes that the connection is closing. Reception of broadcasts has ended, or
// will not begin.
func (r *Reception[C]) MarkClosing() { r.bits.Or(closingBit) }

func (r *Reception[C]) setEncoding(e Encoding) { r.bits.Or(uint32(e) + 1) }

func (r *Reception[C]) setReceiving(on bool) {
	if on {
		r.bits.Or(receivingBit)
	} else {
		r.bits.And(^uint32(receivingBit))
	}
}

// memberships walks the memberships in groups and that in the user's set.
func (r *Reception[C]) memberships() iter.Seq[*membership[C]] {
	return func(yield func(*membership[C]) bool) {
		s := r.sets
		if s == nil || s.user != nil && !yield(s.user) {
			return
		}
		for _, m := range s.groups {
			if !yield(m) {
				return
			}
		}
	}
}

// find returns the index of the membership in the group with the name, or -1.
func (r *Reception[C]) find(name string) int {
	if r.sets == nil {
		return -1
	}
	return slices.IndexFunc(r.sets.groups, func(m *membership[C]) bool { return m.of.name == name })
}

// InGroup reports whether the connection is a member of the group.
func (r *Reception[C]) InGroup(name string) bool { return r.find(name) >= 0 }

// Groups returns the number of groups of the connection.
func (r *Reception[C]) Groups() int {
	if r.sets == nil {
		return 0
	}
	return len(r.sets.groups)
}

// GroupNames returns the names of the connection's groups, in the order in which it joined
// them; nil if it never joined one.
func (r *Reception[C]) GroupNames() []string {
	if r.sets == nil {
		return nil
	}
	names := make([]string, len(r.sets.groups))
	for i, m := range r.sets.groups {
		names[i] = m.of.name
	}
	return names
}
