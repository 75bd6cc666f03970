package main

import "slices"

// violations counts messages that did not arrive once, unchanged and in order.
type violations struct {
	Lost       uint64 `json:"lost"`       // did not arrive, although their connections are open
	Duplicated uint64 `json:"duplicated"` // arrived again
	Reordered  uint64 `json:"reordered"`  // arrived after a message that was sent later
	Corrupted  uint64 `json:"corrupted"`  // differ from the sent ones
	Foreign    uint64 `json:"foreign"`    // of another run, never sent, or of another connection
}

func (v violations) sum() uint64 {
	return v.Lost + v.Duplicated + v.Reordered + v.Corrupted + v.Foreign
}

// stream records the messages of one sender that one connection has received: all sequence
// numbers below seen except those in missing. The callbacks of the connection own it.
type stream struct {
	seen    uint64
	missing []span // ascending and disjoint
}

// span is a range of sequence numbers. to is not part of it.
type span struct{ from, to uint64 }

// arrival classifies a message of a stream.
type arrival uint8

const (
	arrivedInOrder arrival = iota
	arrivedLate            // a reordering
	arrivedTwice           // a duplicate
)

// arrive records a message. A message after a gap is in order: later messages show whether
// those in the gap are lost or late.
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
		return 1 // finds the first span that ends after sequence
	})
	if i == len(s.missing) || s.missing[i].from > sequence {
		return arrivedTwice
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

// lost returns the number of the first sent messages that have not arrived.
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
