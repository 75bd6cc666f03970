package registry

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

type element struct {
	id   string
	next *element
}

func (e *element) RegistryLink() (string, **element) { return e.id, &e.next }

func (e *element) RegistryFind(id string) *element {
	for e != nil && e.id != id {
		e = e.next
	}
	return e
}

// However it grows and shrinks, a table has the elements that a map would have.
func TestTableIsAMap(t *testing.T) {
	var table Table[*element]
	table.Init()
	want := make(map[string]*element)
	check := func() {
		t.Helper()
		require.Equal(t, len(want), table.Len())
		seen := make(map[string]*element)
		table.Walk(func(chains []*element) {
			for _, e := range chains {
				for ; e != nil; e = e.next {
					require.Nil(t, seen[e.id], "seen twice")
					seen[e.id] = e
					require.Same(t, want[e.id], e)
				}
			}
		})
		require.Len(t, seen, len(want))
		for id, e := range want {
			require.Same(t, e, table.Get(id))
		}
		require.Nil(t, table.Get("no such id"))
	}
	check()
	for round, goal := range []int{1, 1000, 3, 20_000, 100, 0} {
		for len(want) != goal {
			if grow := len(want) < goal; grow || rand.IntN(10) == 0 {
				e := &element{id: fmt.Sprint(round, " ", len(want), rand.Uint64())}
				table.Add(e)
				want[e.id] = e
				continue
			}
			for id, e := range want {
				table.Remove(e)
				table.Remove(e) // a second time does nothing
				require.Nil(t, e.next, "a removed element keeps no other alive")
				delete(want, id)
				require.Nil(t, table.Get(id))
				break
			}
		}
		check()
	}
	for i := range table.shards {
		require.LessOrEqual(t, len(table.shards[i].buckets), 32, "it has not shrunk")
	}
}

func BenchmarkGet(b *testing.B) {
	for _, n := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var table Table[*element]
			table.Init()
			ids := make([]string, n)
			for i := range ids {
				ids[i] = fmt.Sprintf("%026d", i)
				table.Add(&element{id: ids[i]})
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if table.Get(ids[i]) == nil {
					b.Fatal("an element is missing")
				}
				if i++; i == n {
					i = 0
				}
			}
		})
	}
}

func BenchmarkWalk(b *testing.B) {
	for _, n := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var table Table[*element]
			table.Init()
			for i := range n {
				table.Add(&element{id: fmt.Sprintf("%026d", i)})
			}
			list := make([]*element, 0, n)
			b.ReportAllocs()
			for b.Loop() {
				list = list[:0]
				table.Walk(func(chains []*element) {
					for _, e := range chains {
						for ; e != nil; e = e.next {
							list = append(list, e)
						}
					}
				})
			}
		})
	}
}
