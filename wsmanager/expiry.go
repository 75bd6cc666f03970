package wsmanager

import (
	"math"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/internal/timewheel"
)

// expiredReason is the reason in the close frame of a connection that has expired.
const expiredReason = "expired"

// Renew changes the time at which the connection expires: see Accept.Expires. until may be
// later or earlier than the present one; the zero time means that the connection does not
// expire. If until is not in the future, the connection is closed at once. Renew may also be
// used if Accept.Expires was not set, and for the connection of a client.
//
// It returns ErrClosed if the connection is closing, for example because it has expired. Then
// nothing changes. After nil it does not expire before until.
func (c *Conn) Renew(until time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.life.renew(c.session(), until)
}

// wallTime is a time of the wall clock in Unix nanoseconds, from 1 to the year 2262. Earlier
// and later times are moved to these limits. 0 is no time.
//
// An expiry is a date of a token, so it must be compared with the wall clock. The time since
// the start of the process differs from that after a change of the system's clock, and on some
// systems after a suspension.
type wallTime int64

func newWallTime(t time.Time) wallTime {
	switch {
	case t.IsZero():
		return 0
	case t.Before(time.Unix(0, 1)):
		return 1
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return wallTime(t.UnixNano())
}

// left returns the time from now until t, which is negative if t has passed.
func (t wallTime) left(now time.Time) time.Duration { return time.Duration(t - newWallTime(now)) }

// renew sets or removes the expiry of an open connection.
func (l *lifecycle) renew(h lifecycleHost, until time.Time) error {
	if l.state != stateOpen {
		return ErrClosed
	}
	l.setExpiry(until)
	if !h.sender().Attached() {
		return nil // attach does the rest
	}
	if l.expired(h.ticker()) {
		l.expire(h, closeGraceful)
	}
	l.scheduleNext(h)
	return nil
}

func (l *lifecycle) setExpiry(until time.Time) {
	if t := newWallTime(until); t != 0 || l.cold != nil {
		l.details().expires = t
	}
}

// expired reports whether the time of the expiry has come.
func (l *lifecycle) expired(w *timewheel.Ticker) bool {
	return l.cold != nil && l.cold.expires != 0 && l.cold.expires.left(w.Clock().Now()) <= 0
}

// expiryDue returns the tick at which the connection expires if the wall clock is not changed;
// false if it does not expire.
func (l *lifecycle) expiryDue(w *timewheel.Ticker) (at int64, expires bool) {
	if l.cold == nil || l.cold.expires == 0 {
		return 0, false
	}
	left := min(l.cold.expires.left(w.Clock().Now()), 1<<62) // room for the sum
	return w.TickOf(w.Elapsed()+left) + 1, true
}

// expire closes the connection because it has expired. With closeGraceful the messages that
// were sent before are written, because the identity was valid then; with closeFail they are
// dropped.
func (l *lifecycle) expire(h lifecycleHost, mode closeMode) {
	cause := &CloseError{Code: StatusPolicyViolation, Reason: expiredReason, Err: ErrExpired}
	if mode == closeGraceful {
		l.closeAfter(h, nil, cause)
	} else {
		l.close(h, cause, mode)
	}
}
