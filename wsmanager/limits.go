package wsmanager

import (
	"fmt"
	"time"

	"golang.org/x/time/rate"
)

var (
	errTooManyMessages = fmt.Errorf("%w: more messages than Options.MessageRate", ErrRateLimit)
	errTooManyControls = fmt.Errorf("%w: more pings and pongs than Options.ControlRate", ErrRateLimit)
)

// inbound limits what a peer may send in a time. A peer that sends more is closed
// with 1008. Not reading from it for a while, the other way, would also not read
// its pongs and its close frame, and hold a buffer for each that is held up.
// Owned by the reader.
type inbound struct {
	messages *rate.Limiter // nil without a limit
	controls bucket
}

// newInbound returns nil where there is nothing to limit before the peer sends
// its first ping.
func (o *Options) newInbound() *inbound {
	if o.MessageRate <= 0 {
		return nil
	}
	return &inbound{messages: rate.NewLimiter(rate.Limit(o.MessageRate), o.MessageBurst)}
}

func (c *Conn) checkMessageRate() error {
	if c.inbound == nil || c.inbound.messages == nil || c.inbound.messages.AllowN(c.m.wheel.Clock().Now(), 1) {
		return nil
	}
	return &CloseError{Code: StatusPolicyViolation, Err: errTooManyMessages}
}

func (c *Conn) checkControlRate() error {
	if c.inbound == nil {
		c.inbound = &inbound{}
	}
	if c.inbound.controls.allow(c.m.wheel.Elapsed(), c.m.opts.ControlRate) {
		return nil
	}
	return &CloseError{Code: StatusPolicyViolation, Err: errTooManyControls}
}

// bucket is a token bucket of one second's worth of tokens in 8 bytes: every
// connection has one, and a rate.Limiter has 80. It holds when it will be full
// again (the generic cell rate algorithm).
type bucket time.Duration

// allow takes a token, if there is one.
func (b *bucket) allow(now time.Duration, perSecond int) bool {
	full := max(time.Duration(*b), now) + time.Second/time.Duration(perSecond)
	if full-now > time.Second {
		return false
	}
	*b = bucket(full)
	return true
}
