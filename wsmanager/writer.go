package wsmanager

import (
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// startWriterLocked makes somebody see to what waits in the outbox.
func (c *Conn) startWriterLocked() {
	if !c.attached || c.state == stateCut || c.out.writing {
		return
	}
	c.out.writing = true
	c.progressed(c.out)
	c.scheduleLocked()
	if t, ok := c.t.(transport.WritableNotifier); ok {
		t.NotifyWritable()
		return
	}
	c.m.active.add()
	go c.writeLoop()
}

// writeLoop writes until the outbox is empty. A connection has one at most, and only while
// there is a backlog.
func (c *Conn) writeLoop() {
	defer c.m.active.done()
	switch t := c.t.(type) {
	case transport.BlockingWriter:
		for c.pumpBlocking(t) {
		}
	case transport.WritableWaiter:
		for c.pump() {
			if err := t.AwaitWritable(); err != nil {
				c.mu.Lock()
				c.vanishedLocked(err)
				c.mu.Unlock()
			}
		}
	}
}

// pump writes what goes without waiting, and reports whether something is left.
func (c *Conn) pump() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.out
	buf := getFrame()
	defer putFrame(buf)
	for c.state != stateCut && o.waiting() {
		p, _ := o.next(buf)
		n, err := c.tryWriteLocked(p)
		if err != nil {
			break
		}
		c.wroteLocked(n)
		if n < len(p) && c.state != stateCut {
			return true
		}
	}
	c.writerEndsLocked()
	return false
}

// pumpBlocking writes one batch, however long that takes, and reports whether
// there is more.
func (c *Conn) pumpBlocking(t transport.BlockingWriter) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.out
	if c.state != stateCut && o.waiting() {
		buf := getFrame()
		defer putFrame(buf)
		p, frames := o.next(buf)
		o.claim(frames)
		c.progressed(o)
		c.mu.Unlock()
		n, err := t.Write(p, func() { c.progressed(o) })
		c.traffic().bytesOut.Add(uint64(n))
		c.mu.Lock()
		o.claim(0)
		c.wroteLocked(n)
		if err != nil {
			c.vanishedLocked(err)
		}
	}
	if c.state != stateCut && o.waiting() {
		return true
	}
	c.writerEndsLocked()
	return false
}

// wroteLocked notes that n bytes of the outbox have left.
func (c *Conn) wroteLocked(n int) {
	if n == 0 {
		return
	}
	c.progressed(c.out)
	messages, closed := c.out.advance(n)
	c.traffic().messagesOut.Add(uint64(messages))
	if closed {
		c.closeSentLocked()
	}
	c.letInLocked()
}

// writerEndsLocked is called when nobody writes any more.
func (c *Conn) writerEndsLocked() {
	o := c.out
	o.writing = false
	switch {
	case c.state == stateCut:
		o.sent = 0
		c.dropLocked() // what was under way
	case len(o.waiters) > 0: // they are let in by what they wait for
	default:
		c.out = nil
	}
}

// progressed notes that the writer is getting on.
func (c *Conn) progressed(o *outbox) { o.progress.Store(int64(c.m.wheel.elapsed())) }

// writeStuckSince is when the write under way last got on; false if there is
// none.
func (c *Conn) writeStuckSince() (time.Duration, bool) {
	if !c.out.busy() {
		return 0, false
	}
	return time.Duration(c.out.progress.Load()), true
}

// flushLocked sends what waits.
func (c *Conn) flushLocked() {
	if c.attached && c.state != stateCut && c.out.waiting() && !c.out.writing {
		c.startWriterLocked()
	}
}

// vanishedLocked cuts a connection whose peer is gone, as a write has noticed.
func (c *Conn) vanishedLocked(err error) {
	c.cutLocked(&CloseError{Code: StatusAbnormalClosure, Remote: true, Err: err})
}
