package backoff

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// Policy bounds the delays.
type Policy struct {
	Min    time.Duration // bound after the first failure
	Max    time.Duration // largest bound, not below Min
	Factor float64       // by which the bound grows with each failure, at least 1
}

// Delay returns a random delay between 0 and the bound after this number of failures in a row.
// The delay is at least the requested one, or Max if that is shorter.
func (p Policy) Delay(failures int, requested time.Duration) time.Duration {
	bound := float64(p.Min)
	for i := 1; i < failures && bound < float64(p.Max); i++ {
		bound *= p.Factor
	}
	delay := time.Duration(rand.Float64() * min(bound, float64(p.Max)))
	return max(delay, min(requested, p.Max))
}

// RetryAfter returns the delay that a server has requested in seconds (RFC 9110, section
// 10.2.3), 0 if it has requested none. It does not understand dates.
func RetryAfter(h http.Header) time.Duration {
	seconds, err := strconv.ParseInt(h.Get("Retry-After"), 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || seconds < 0 {
		return 0 // for a number out of range, ParseInt returns the nearest limit
	}
	return time.Duration(min(seconds, 1<<30)) * time.Second
}
