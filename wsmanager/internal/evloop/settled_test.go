//go:build linux

package evloop

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A leader that was deposed before it settled may settle after its successor. The watchdog must still see that the successor
// has settled: it would detach a socket without an owner, whose bytes nothing reads.
func TestSettledIsTheNewestEvent(t *testing.T) {
	l := &Loop{}
	for _, step := range []struct{ settles, want uint64 }{{5, 5}, {9, 9}, {7, 9}, {9, 9}, {11, 11}} {
		l.settle(step.settles)
		require.Equal(t, step.want, l.settled.Load())
	}
}
