package wsmanager

import (
	"math/rand/v2"
	"time"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/timewheel"
)

// maxTicks is the longest time for which a timewheel.Tick32 is set ahead.
const maxTicks = 1 << 30

// schedulePing sets the time of the next ping: the ping interval with up to 10 % more or
// less, so that connections that were made together are not pinged together.
func (l *lifecycle) schedulePing(h lifecycleHost, now int64) {
	d := min(h.options().PingInterval, 1<<62) // room for the 10 %
	interval := h.ticker().Ticks(d - d/10 + time.Duration(rand.Int64N(int64(d/5)+1)))
	l.pingDue = timewheel.Tick32(now + min(interval, maxTicks))
}

// ping sends a ping and schedules the next one.
func (l *lifecycle) ping(h lifecycleHost, now int64) {
	h.sender().SendControl(h, ws.OpPing, l.keepAlivePayload(h))
	l.schedulePing(h, now)
}

// scheduleNext sets the timer to the connection's next due time.
func (l *lifecycle) scheduleNext(h lifecycleHost) {
	if at, ok := l.nextDue(h); ok {
		h.schedule(at)
	}
}

func (l *lifecycle) nextDue(h lifecycleHost) (int64, bool) {
	w := h.ticker()
	var at int64
	switch l.state {
	case stateCut:
		return 0, false
	case stateClosing:
		at = l.cold.due
	default:
		now := w.Coarse()
		at = min(l.pingDue.Near(now), h.receiver().heardAt(now)+w.Ticks(h.options().IdleTimeout))
		if ready, waits := h.readyDue(); waits {
			at = min(at, ready)
		}
		if expiry, expires := l.expiryDue(w); expires {
			at = min(at, expiry)
		}
	}
	if since, writing := h.sender().LastProgress(); writing {
		at = min(at, w.TickOf(since)+w.Ticks(h.options().WriteTimeout))
	}
	return at, true
}

// due sends a ping, or ends the connection if a time-out has passed.
func (l *lifecycle) due(h lifecycleHost, now int64) {
	w := h.ticker()
	in := h.receiver()
	since, writing := h.sender().LastProgress()
	switch {
	case l.state == stateCut:
		return
	case writing && now-w.TickOf(since) >= w.Ticks(h.options().WriteTimeout):
		l.cut(h, &CloseError{Code: StatusAbnormalClosure, Err: ErrWriteTimeout})
		return
	case l.state == stateClosing:
		if now >= l.cold.due {
			l.cut(h, nil)
			return
		}
	case l.expired(w):
		l.expire(h, closeGraceful)
	case readyLate(h, now):
		l.close(h, &CloseError{Code: StatusPolicyViolation, Reason: "the protocol was not chosen in time", Err: ErrNotReady}, closeFail)
	case in.dispatch.readPaused(l.handover().active()):
		in.touch(now) // the silence is not the peer's fault
		if now >= l.pingDue.Near(now) {
			l.ping(h, now)
		}
	case now-in.heardAt(now) >= w.Ticks(h.options().IdleTimeout):
		l.inputEnded()
		l.close(h, &CloseError{Code: StatusGoingAway, Err: ErrIdleTimeout}, closeFail)
	case now >= l.pingDue.Near(now):
		l.ping(h, now)
	}
	l.scheduleNext(h)
}

func readyLate(h lifecycleHost, now int64) bool {
	at, waits := h.readyDue()
	return waits && now >= at
}
