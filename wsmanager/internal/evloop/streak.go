//go:build linux

package evloop

// Streaks are fast events in a row. A handler without one may block the leader.
const (
	minInlineStreak = 8    // fewer: served by a goroutine while the breaker is half-open
	initialRequired = 8    // required after the first slow event
	longStreak      = 4096 // after a longer streak a slow event counts as the first
	maxRequired     = 2048
	maxStreak       = longStreak + 1
)

func (s *Socket) recordFast() {
	if s.fastStreak < maxStreak {
		s.fastStreak++
	}
}

// recordSlow records that the handler blocked: the socket is served by goroutines until
// requiredStreak events in a row were fast.
func (s *Socket) recordSlow() {
	if s.requiredStreak == 0 || s.fastStreak > longStreak {
		s.requiredStreak = initialRequired
	} else {
		s.requiredStreak = min(4*s.requiredStreak, maxRequired)
	}
	s.fastStreak = 0
}
