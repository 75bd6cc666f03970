package wsmanager

import (
	"math/rand/v2"
	"time"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/timewheel"
)

// wheelConn is a Conn in its role as an element of the Manager's timer wheel.
type wheelConn Conn

// WheelEntry implements timewheel.Element.
func (c *wheelConn) WheelEntry() *timewheel.Entry[*wheelConn] { return &c.wheel }

// Due implements timewheel.Element.
func (c *wheelConn) Due(now int64) { (*Conn)(c).due(now) }

// scheduleLocked puts the connection into the wheel for its next due time.
func (c *Conn) scheduleLocked() {
	if at, ok := c.nextDueLocked(); ok {
		c.m.wheel.Schedule((*wheelConn)(c), at)
	}
}

func (c *Conn) nextDueLocked() (int64, bool) {
	w := &c.m.wheel
	var at int64
	switch c.state {
	case stateCut:
		return 0, false
	case stateClosing:
		at = c.rare.due
	default:
		at = min(c.pingDue, c.lastRead.Load()+w.Ticks(c.m.opts.IdleTimeout))
		if !c.reception.isReady() {
			at = min(at, c.readyDue())
		}
	}
	if since, ok := c.writeStuckSince(); ok {
		at = min(at, w.TickOf(since)+w.Ticks(c.m.opts.WriteTimeout))
	}
	return at, true
}

// due pings, or ends the connection if a time-out has passed, and schedules the connection
// again. The wheel calls it.
func (c *Conn) due(now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &c.m.wheel
	since, writing := c.writeStuckSince()
	switch {
	case c.state == stateCut:
		return
	case writing && now-w.TickOf(since) >= w.Ticks(c.m.opts.WriteTimeout):
		c.cutLocked(&CloseError{Code: StatusAbnormalClosure, Err: ErrWriteTimeout})
		return
	case c.state == stateClosing:
		if now >= c.rare.due {
			c.cutLocked(nil)
			return
		}
	case !c.reception.isReady() && now >= c.readyDue():
		c.closeLocked(&CloseError{Code: StatusPolicyViolation, Reason: "the protocol was not chosen in time", Err: ErrNotReady}, closeFail)
	case c.deafLocked():
		c.lastRead.Store(now) // the peer may be well
		if now >= c.pingDue {
			c.sendControlLocked(ws.OpPing, nil)
			c.pingDue = now + c.pingTicks()
		}
	case now-c.lastRead.Load() >= w.Ticks(c.m.opts.IdleTimeout):
		c.inputEndsLocked()
		c.closeLocked(&CloseError{Code: StatusGoingAway, Err: ErrIdleTimeout}, closeFail)
	case now >= c.pingDue:
		c.sendControlLocked(ws.OpPing, nil)
		c.pingDue = now + c.pingTicks()
	}
	c.scheduleLocked()
}

// readyDue is when a connection that was accepted with Accept.Deferred has to be
// ready.
func (c *Conn) readyDue() int64 {
	return c.m.wheel.TickOf(c.since) + c.m.wheel.Ticks(c.m.opts.ReadyTimeout)
}

// pingTicks is the ping interval with up to 10 % more or less, so that
// connections that came together don't stay together.
func (c *Conn) pingTicks() int64 {
	d := min(c.m.opts.PingInterval, 1<<62) // room for what comes on top
	return c.m.wheel.Ticks(d - d/10 + time.Duration(rand.Int64N(int64(d/5)+1)))
}
