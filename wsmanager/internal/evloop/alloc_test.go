//go:build linux && !race

package evloop_test

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/evloop"
)

// An event allocates nothing, served by the leader or by a goroutine.
func TestAllocations(t *testing.T) {
	for _, mood := range []uint32{evloop.Calm, evloop.Retreated} {
		l := newLoop(t, evloop.Options{})
		client := add(t, l, echo())
		p := make([]byte, 128)
		round := func() {
			l.Tell(mood)
			if _, err := client.Write(p); err != nil {
				t.Error(err)
			}
			if _, err := io.ReadFull(client, p); err != nil {
				t.Error(err)
			}
		}
		for range 100 {
			round()
		}
		// Integral division in AllocsPerRun forgives the scheduler's own.
		require.Zero(t, testing.AllocsPerRun(2000, round), "mood %d", mood)
	}
}
