//go:build linux

package evloop

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStreaks(t *testing.T) {
	var s Socket
	for _, need := range []uint16{8, 32, 128, 512, 2048, 2048} {
		s.recordFast()
		s.recordSlow()
		require.Equal(t, need, s.requiredStreak)
		require.Zero(t, s.fastStreak)
	}
	for range 1 << 17 {
		s.recordFast()
	}
	require.EqualValues(t, maxStreak, s.fastStreak)
	s.recordSlow()
	require.EqualValues(t, initialRequired, s.requiredStreak, "after a long streak a slow event counts as the first")
}
