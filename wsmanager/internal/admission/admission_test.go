package admission

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/activity"
)

func newGate(limit int) (*Gate[string], *activity.Counter) {
	g, active := new(Gate[string]), new(activity.Counter)
	g.Init(limit, active)
	return g, active
}

func TestLimit(t *testing.T) {
	for limit, admitted := range map[int]int{0: 100, 1: 1, 3: 3} {
		g, _ := newGate(limit)
		require.Equal(t, limit, g.Limit())
		for range admitted {
			require.NoError(t, g.Acquire())
		}
		if limit == 0 {
			continue
		}
		require.Equal(t, ErrFull, g.Acquire())
		g.Release()
		require.NoError(t, g.Acquire())
		require.Equal(t, ErrFull, g.Acquire())
	}
}

// After Drain, which wins over the limit, the slots in use are still counted.
func TestDrain(t *testing.T) {
	g, active := newGate(1)
	require.NoError(t, g.Acquire())
	require.False(t, g.IsDraining())
	g.Drain()
	require.True(t, g.IsDraining())
	require.Equal(t, ErrDraining, g.Acquire())
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.False(t, active.Wait(ended))
	g.Release()
	require.True(t, active.Wait(t.Context()))
}

// A connection that leaves the registry during the walk is found once.
func TestOpen(t *testing.T) {
	g, _ := newGate(0)
	g.SetClosing("a", true)
	g.SetClosing("b", true)
	g.SetClosing("b", false)
	registered := func(yield func(string) bool) {
		for _, c := range []string{"a", "c", "d"} {
			if c == "d" {
				g.SetClosing("d", true)
			}
			if !yield(c) {
				return
			}
		}
	}
	open := g.Open(registered)
	slices.Sort(open)
	require.Equal(t, []string{"a", "c", "d"}, open)
}
