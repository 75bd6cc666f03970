package main

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStream(t *testing.T) {
	for name, c := range map[string]struct {
		got        []uint64
		sent       uint64
		duplicated int
		late       int
		lost       uint64
	}{
		"all in order":                      {[]uint64{0, 1, 2, 3}, 4, 0, 0, 0},
		"nothing sent":                      {nil, 0, 0, 0, 0},
		"nothing came":                      {nil, 3, 0, 0, 3},
		"the first is lost":                 {[]uint64{1, 2}, 3, 0, 0, 1},
		"one in the middle is lost":         {[]uint64{0, 2}, 3, 0, 0, 1},
		"the last is lost":                  {[]uint64{0, 1}, 3, 0, 0, 1},
		"several gaps":                      {[]uint64{2, 3, 6}, 8, 0, 0, 5},
		"a duplicate at once":               {[]uint64{0, 0, 1}, 2, 1, 0, 0},
		"a duplicate later":                 {[]uint64{0, 1, 2, 0}, 3, 1, 0, 0},
		"three times":                       {[]uint64{0, 0, 0}, 1, 2, 0, 0},
		"two change places":                 {[]uint64{1, 0}, 2, 0, 1, 0},
		"one comes late":                    {[]uint64{0, 2, 3, 1}, 4, 0, 1, 0},
		"backwards":                         {[]uint64{3, 2, 1, 0}, 4, 0, 3, 0},
		"late, and then again":              {[]uint64{1, 0, 0}, 2, 1, 1, 0},
		"into the middle of a gap":          {[]uint64{5, 2, 4, 0}, 6, 0, 3, 2},
		"the gap's last, then first":        {[]uint64{4, 3, 0}, 5, 0, 2, 2},
		"received before it counts as sent": {[]uint64{0, 1, 2}, 2, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var s stream
			duplicated, late := 0, 0
			for _, n := range c.got {
				switch s.arrive(n) {
				case arrivedTwice:
					duplicated++
				case arrivedLate:
					late++
				}
			}
			require.Equal(t, c.duplicated, duplicated, "duplicated")
			require.Equal(t, c.late, late, "late")
			require.Equal(t, c.lost, s.lost(c.sent), "lost")
		})
	}
}

// A stream agrees with a set of all received numbers.
func TestStreamAgainstASet(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		var s stream
		const sent = 60
		seen, highest := map[uint64]bool{}, -1
		for range r.IntN(150) {
			n := uint64(r.IntN(sent))
			want := arrivedInOrder
			switch {
			case seen[n]:
				want = arrivedTwice
			case int(n) < highest:
				want = arrivedLate
			}
			seen[n], highest = true, max(highest, int(n))
			require.Equal(t, want, s.arrive(n))
		}
		require.EqualValues(t, sent-len(seen), s.lost(sent))
	}
}
