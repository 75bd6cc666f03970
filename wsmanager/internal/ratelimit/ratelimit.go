package wsmanager

import (
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/speakingtube/speakingtube/wsmanager/internal/timewheel"
)

var (
	errTooManyMessages = fmt.Errorf("%w: more messages than Options.MessageRate", ErrRateLimit)
	errTooManyControls = fmt.Errorf("%w: more pings and pongs than Options.ControlRate", ErrRateLimit)
)

// rateLimits limits what a peer may send in a time. A peer that sends more is closed with
// 1008. The alternative, to stop reading for a while, would also delay its pongs and its
// close frame, and hold a buffer for each such peer. It belongs to the reader.
type rateLimits struct {
	messages *rate.Limiter // nil without a limit
	controls bucket
}

// newRateLimits returns nil if there is nothing to limit before the peer's first ping.
func (o *Options) newRateLimits() *rateLimits {
	if o.MessageRate <= 0 {
		return nil
	}
	return &rateLimits{messages: rate.NewLimiter(rate.Limit(o.MessageRate), o.MessageBurst)}
}

// checkMessage counts a message, and returns an error if the peer sends too many. It reads
// the clock only if there is a limit.
func (l *rateLimits) checkMessage(clock timewheel.Clock) error {
	if l.messages == nil || l.messages.AllowN(clock.Now(), 1) {
		return nil
	}
	return &CloseError{Code: StatusPolicyViolation, Err: errTooManyMessages}
}

// checkControlRate counts a ping or pong, and returns an error if the peer sends more than
// perSecond of them. now is the time since the wheel's zero.
func (r *receiver) checkControlRate(now time.Duration, perSecond int) error {
	if r.limits == nil {
		r.limits = &rateLimits{}
	}
	if r.limits.controls.allow(now, perSecond) {
		return nil
	}
	return &CloseError{Code: StatusPolicyViolation, Err: errTooManyControls}
}

// bucket is a token bucket that holds the tokens of one second. It takes 8 bytes for each
// connection, where a rate.Limiter takes 80. Its value is the time at which it will be full
// (the generic cell rate algorithm).
type bucket time.Duration

// allow takes a token if there is one.
func (b *bucket) allow(now time.Duration, perSecond int) bool {
	full := max(time.Duration(*b), now) + time.Second/time.Duration(perSecond)
	if full-now > time.Second {
		return false
	}
	*b = bucket(full)
	return true
}
