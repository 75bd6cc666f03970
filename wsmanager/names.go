package wsmanager

import (
	"iter"
	"slices"
)

// names is a list of names or ids. An empty string names nothing: no connection, group or
// user has an empty name. A list of one name needs no allocation.
type names struct {
	one  string
	more []string // nil for at most one name
}

// namesOf returns a list that shares no memory with list.
func namesOf(list []string) names {
	switch len(list) {
	case 0:
		return names{}
	case 1:
		return names{one: list[0]}
	}
	return names{more: slices.Clone(list)}
}

// all walks the names, including empty ones.
func (n names) all() iter.Seq[string] {
	return func(yield func(string) bool) {
		if n.one != "" && !yield(n.one) {
			return
		}
		for _, name := range n.more {
			if !yield(name) {
				return
			}
		}
	}
}
