package main

import "slices"

// violations counts what must not happen to messages on their way.
type violations struct {
	Lost       uint64 `json:"lost"`       // never came, though their connections are well
	Duplicated uint64 `json:"duplicated"` // came once more
	Reordered  uint64 `json:"reordered"`  // came after one that was sent later
	Corrupted  uint64 `json:"corrupted"`  // not as they were sent
	Foreign    uint64 `json:"foreign"`    // not of this run, never sent, or somebody else's
}

func (v violations) sum() uint64 {
	return v.Lost + v.Duplicated + v.Reordered + v.Corrupted + v.Foreign
}

// stream is what one connection has got of what one sender sent: every sequence
// number below seen, but those that are missing. It belongs to the connection's
// callbacks.
type stream struct {
	seen    uint64
	missing []span // in ascending order, disjoint
}

// span is a range of sequence numbers, without its end.
type span struct{ from, to uint64 }

// arrival is what a message is to a stream.
type arrival uint8

const (
	arrivedInOrder arrival = iota
	arrivedLate            // a reordering
	arrivedAgain           // a duplicate
)

// arrive notes a message. One that leaves a gap is in order: whether those in the gap
// are lost, or only late, shows in what comes after it.
func (s *stream) arrive(sequence uint64) arrival {
	if sequence >= s.seen {
		if sequence > s.seen {
			s.missing = append(s.missing, span{s.seen, sequence})
		}
		s.seen = sequence + 1
		return arrivedInOrder
	}
	i, _ := slices.BinarySearchFunc(s.missing, sequence, func(g span, n uint64) int {
		if g.to <= n {
			return -1
		}
		return 1 // the first that ends after it
	})
	if i == len(s.missing) || s.missing[i].from > sequence {
		return arrivedAgain
	}
	switch g := &s.missing[i]; {
	case g.from+1 == g.to:
		s.missing = slices.Delete(s.missing, i, i+1)
	case g.from == sequence:
		g.from++
	case g.to == sequence+1:
		g.to--
	default:
		after := span{sequence + 1, g.to}
		g.to = sequence
		s.missing = slices.Insert(s.missing, i+1, after)
	}
	return arrivedLate
}

// lost returns how many of the first sent messages have not come.
func (s *stream) lost(sent uint64) uint64 {
	n := uint64(0)
	for _, g := range s.missing {
		if g.from < sent {
			n += min(g.to, sent) - g.from
		}
	}
	if sent > s.seen {
		n += sent - s.seen
	}
	return n
}
