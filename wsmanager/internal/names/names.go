package names

import (
	"iter"
	"slices"
)

// Set is a set of names or ids. It is immutable. An empty string names nothing: no
// connection, group or user has an empty name. A set with at most one name needs no
// allocation.
type Set struct {
	one  string
	more []string // two or more, sorted, without duplicates; nil for at most one name
}

// One returns a set with one name, or without names if it is "".
func One(name string) Set { return Set{one: name} }

// Only returns the name of a set with one name, and "" for all other sets.
func (n Set) Only() string { return n.one }

// Of returns a set that shares no memory with list.
func Of(list []string) Set {
	switch len(list) {
	case 0:
		return Set{}
	case 1:
		return Set{one: list[0]}
	}
	return unique(slices.Clone(list))
}

// With returns the set with more names.
func (n Set) With(list []string) Set {
	switch {
	case n.Empty():
		return Of(list)
	case len(list) == 0:
		return n
	}
	return unique(slices.Concat(n.more, []string{n.one}, list))
}

// unique returns the set of the names in list, which it then owns.
func unique(list []string) Set {
	slices.Sort(list)
	list = slices.Compact(list)
	if len(list) > 0 && list[0] == "" {
		list = list[1:]
	}
	switch len(list) {
	case 0:
		return Set{}
	case 1:
		return Set{one: list[0]}
	}
	return Set{more: list}
}

// Empty reports whether the set has no name.
func (n Set) Empty() bool { return n.one == "" && n.more == nil }

// Several reports whether the set has more than one name.
func (n Set) Several() bool { return n.more != nil }

// Has reports whether the name is in the set.
func (n Set) Has(name string) bool {
	if n.more == nil {
		return name == n.one && name != ""
	}
	_, ok := slices.BinarySearch(n.more, name)
	return ok
}

// All walks the names.
func (n Set) All() iter.Seq[string] {
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
