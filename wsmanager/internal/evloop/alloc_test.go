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
	for _, state := range []uint32{evloop.BreakerClosed, evloop.BreakerOpen} {
		l := newLoop(t, evloop.Options{})
		client := add(t, l, echo())
		p := make([]byte, 128)
		round := func() {
			l.SetBreaker(state)
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
		// AllocsPerRun divides integers, which tolerates a few allocations of the
		// scheduler.
		require.Zero(t, testing.AllocsPerRun(2000, round), "breaker state %d", state)
	}
}
