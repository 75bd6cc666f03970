package wsmanager

import (
	"context"
	"time"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/pings"
)

// Ping sends a ping, waits for its pong, and returns the time in between. A pong of a later
// ping counts too, because a peer may answer only the newest (RFC 6455, section 5.5.3); pongs
// of earlier pings and pongs that answer nothing do not. The time that the ping waits behind a
// message that is being written is included.
//
// Ping may be called by any number of goroutines, each of which sends a ping; peers may limit
// how many they accept. In a callback of the same connection it makes another goroutine read
// on, as a callback does that does not return soon (see Callbacks.OnMessage), which takes a few
// milliseconds in an event loop. It returns ErrClosed when the connection begins to close, and
// the cause of ctx if ctx ends first. A peer that does not answer is closed after
// Timeouts.Idle, so a ctx without an end is valid.
func (c *Conn) Ping(ctx context.Context) (time.Duration, error) {
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	p, err := startPing(c)
	if err != nil {
		return 0, err
	}
	for pause := takeoverPause; ; pause *= 2 {
		var tryAgain <-chan time.Time
		if !c.in.dispatch.takeOverNow((*callbackHost)(c)) { // otherwise a callback that runs keeps the pong from being read
			tryAgain = time.After(pause)
		}
		select {
		case rtt, ok := <-p.Answered():
			return pingResult(rtt, ok)
		case <-tryAgain:
		case <-ctx.Done():
			if withdrawPing(c, p) {
				return 0, context.Cause(ctx)
			}
			rtt, ok := <-p.Answered() // the pong, or the end, came at the same time
			return pingResult(rtt, ok)
		}
	}
}

// takeoverPause is the pause before the second attempt to make another goroutine the reader. In
// an event loop the leader of the callback has to be deposed before.
const takeoverPause = time.Millisecond

// pingResult returns the result of Ping. ok is false if the connection has ended.
func pingResult(rtt time.Duration, ok bool) (time.Duration, error) {
	if !ok {
		return 0, ErrClosed
	}
	return rtt, nil
}

// Latency returns the round-trip time of the last ping that the peer has answered, and 0 before
// the first. From the first call of Latency or [Conn.Ping] on it is measured with the pings of
// Timeouts.PingInterval too. A pong that arrives while a callback runs may be read half a second
// late.
func (c *Conn) Latency() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.life.pings().Latency()
}

// startPing sends a ping.
func startPing(c *Conn) (*pings.Ping, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.state != stateOpen {
		return nil, ErrClosed
	}
	p := c.life.pings().Add(c.m.wheel.Elapsed())
	c.out.SendControl(c.session(), ws.OpPing, p.Payload()) // or attach does
	return p, nil
}

// withdrawPing is called when a caller stops to wait. It reports whether the ping was neither
// answered nor failed.
func withdrawPing(c *Conn, p *pings.Ping) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.life.pings().Withdraw(p)
}

// pongReceived is called for each pong of the peer.
func pongReceived(c *Conn, payload []byte) {
	if len(payload) != pings.PayloadSize {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.life.cold; d != nil {
		d.pings.Answer(payload, c.m.wheel.Elapsed())
	}
}

// pings returns the pings of the connection. The first call makes the list.
func (l *lifecycle) pings() *pings.List {
	d := l.details()
	if d.pings == nil {
		d.pings = &pings.List{}
	}
	return d.pings
}

// resendPing sends the pings that were started before the transport was set.
func (l *lifecycle) resendPing(h lifecycleHost) {
	if l.cold == nil {
		return
	}
	if p := l.cold.pings.Resend(h.ticker().Elapsed()); p != nil {
		h.sender().SendControl(h, ws.OpPing, p.Payload())
	}
}

// keepAlivePayload returns the payload of the next ping of PingInterval: none, unless its
// round-trip time is measured.
func (l *lifecycle) keepAlivePayload(h lifecycleHost) []byte {
	if l.cold == nil || l.cold.pings == nil {
		return nil
	}
	return l.cold.pings.AddUnawaited(h.ticker().Elapsed()).Payload()
}
