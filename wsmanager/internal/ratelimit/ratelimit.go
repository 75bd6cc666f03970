package ratelimit

import (
	"time"

	"golang.org/x/time/rate"
)

// Limits has the limits of one peer. The zero value limits control frames only. It belongs
// to the reader of the peer and is not safe for concurrent use.
type Limits struct {
	messages *rate.Limiter // nil without a limit
	controls bucket
}

// New returns limits for a peer that may send perSecond messages, with bursts of up to burst
// messages.
func New(perSecond float64, burst int) *Limits {
	return &Limits{messages: rate.NewLimiter(rate.Limit(perSecond), burst)}
}

// AllowMessage counts a message, and returns false if the peer sends too many. It reads the
// clock only if messages are limited.
func (l *Limits) AllowMessage(clock interface{ Now() time.Time }) bool {
	return l.messages == nil || l.messages.AllowN(clock.Now(), 1)
}

// AllowControl counts a control frame, and returns false if the peer sends more than
// perSecond of them. now is a time since any zero that is the same in all calls.
func (l *Limits) AllowControl(now time.Duration, perSecond int) bool {
	return l.controls.allow(now, perSecond)
}

// bucket is a token bucket that holds the tokens of one second. It takes 8 bytes for each
// peer, where a rate.Limiter takes 80. Its value is the time at which it will be full (the
// generic cell rate algorithm).
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
