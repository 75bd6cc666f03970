package wsmanager

import (
	"iter"
	"slices"
)

// names is a set of names or ids. An empty string names nothing: no connection, group or
// user has an empty name. A set with at most one name needs no allocation.
type names struct {
	one  string
	more []string // two or more, sorted, without duplicates; nil for at most one name
}

// namesOf returns a set that shares no memory with list.
func namesOf(list []string) names {
	switch len(list) {
	case 0:
		return names{}
	case 1:
		return names{one: list[0]}
	}
	return unique(slices.Clone(list))
}

// with returns the set with more names.
func (n names) with(list []string) names {
	switch {
	case n.empty():
		return namesOf(list)
	case len(list) == 0:
		return n
	}
	return unique(slices.Concat(n.more, []string{n.one}, list))
}

// unique returns the set of the names in list, which it then owns.
func unique(list []string) names {
	slices.Sort(list)
	list = slices.Compact(list)
	if len(list) > 0 && list[0] == "" {
		list = list[1:]
	}
	switch len(list) {
	case 0:
		return names{}
	case 1:
		return names{one: list[0]}
	}
	return names{more: list}
}

func (n names) empty() bool { return n.one == "" && n.more == nil }

// several reports whether the set has more than one name.
func (n names) several() bool { return n.more != nil }

func (n names) has(name string) bool {
	if n.more == nil {
		return name == n.one && name != ""
	}
	_, ok := slices.BinarySearch(n.more, name)
	return ok
}

// all walks the names.
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
