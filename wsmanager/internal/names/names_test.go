package names

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// A set with one name is the same however it was written, because the broadcasts to it are
// batched and have one order for all receivers.
func TestNames(t *testing.T) {
	one := Set{one: "a"}
	for _, list := range [][]string{{"a"}, {"a", "a"}, {"", "a", "", "a"}} {
		require.Equal(t, one, Of(list), "%q", list)
		require.Equal(t, one, Set{}.With(list), "%q", list)
		require.Equal(t, one, one.With(list), "%q", list)
	}
	for _, list := range [][]string{nil, {}, {""}, {"", ""}} {
		require.True(t, Of(list).Empty(), "%q", list)
		require.False(t, Of(list).Has(""), "%q", list)
		require.Equal(t, one, one.With(list), "%q", list)
	}
	list := []string{"c", "", "a", "b", "a"}
	n := Of(list).With([]string{"d", "a"})
	list[0] = "x"
	require.Equal(t, []string{"a", "b", "c", "d"}, slices.Collect(n.All()))
	require.True(t, n.Several())
	require.False(t, n.Has(""))
	require.False(t, n.Has("x"))
	require.True(t, n.Has("c"))
}
