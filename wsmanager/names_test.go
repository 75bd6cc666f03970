package wsmanager

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// A set with one name is the same however it was written, because the broadcasts to it are
// batched and have one order for all receivers.
func TestNames(t *testing.T) {
	one := names{one: "a"}
	for _, list := range [][]string{{"a"}, {"a", "a"}, {"", "a", "", "a"}} {
		require.Equal(t, one, namesOf(list), "%q", list)
		require.Equal(t, one, names{}.with(list), "%q", list)
		require.Equal(t, one, one.with(list), "%q", list)
	}
	for _, list := range [][]string{nil, {}, {""}, {"", ""}} {
		require.True(t, namesOf(list).empty(), "%q", list)
		require.False(t, namesOf(list).has(""), "%q", list)
		require.Equal(t, one, one.with(list), "%q", list)
	}
	list := []string{"c", "", "a", "b", "a"}
	n := namesOf(list).with([]string{"d", "a"})
	list[0] = "x"
	require.Equal(t, []string{"a", "b", "c", "d"}, slices.Collect(n.all()))
	require.True(t, n.several())
	require.False(t, n.has(""))
	require.False(t, n.has("x"))
	require.True(t, n.has("c"))
}
