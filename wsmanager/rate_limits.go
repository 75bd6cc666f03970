package wsmanager

import (
	"fmt"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/internal/ratelimit"
	"github.com/speakingtube/speakingtube/wsmanager/internal/timewheel"
)

// A peer that exceeds a rate is closed with 1008. The alternative, to stop reading for a
// while, would also delay its pongs and its close frame, and hold a buffer for each such peer.
var (
	errTooManyMessages = fmt.Errorf("%w: more messages than Limits.MessageRate", ErrRateLimit)
	errTooManyControls = fmt.Errorf("%w: more pings and pongs than Limits.ControlRate", ErrRateLimit)
)

// newRateLimits returns nil if there is nothing to limit before the peer's first ping. The
// arguments are Limits.MessageRate and MessageBurst.
func newRateLimits(perSecond float64, burst int) *ratelimit.Limits {
	if perSecond <= 0 {
		return nil
	}
	return ratelimit.New(perSecond, burst)
}

// checkMessageRate counts a message, and returns an error if the peer sends too many.
func (r *receiver) checkMessageRate(clock timewheel.Clock) error {
	if r.limits == nil || r.limits.AllowMessage(clock) {
		return nil
	}
	return &CloseError{Code: StatusPolicyViolation, Err: errTooManyMessages}
}

// checkControlRate counts a ping or pong, and returns an error if the peer sends more than
// perSecond of them. now is the time since the wheel's zero.
func (r *receiver) checkControlRate(now time.Duration, perSecond int) error {
	if r.limits == nil {
		r.limits = &ratelimit.Limits{}
	}
	if r.limits.AllowControl(now, perSecond) {
		return nil
	}
	return &CloseError{Code: StatusPolicyViolation, Err: errTooManyControls}
}
