package wsmanager

import (
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/internal/outbox"
	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// startWriterLocked starts a writer for the outbox, unless one is at work.
func (c *Conn) startWriterLocked() {
	if !c.attached || c.state == stateCut || c.out.Writing() {
		return
	}
	c.out.SetWriting(true)
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

// pump writes as much of the outbox as possible without blocking, and reports whether the
// outbox has more.
func (c *Conn) pump() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.out
	buf := getFrame()
	defer putFrame(buf)
	for c.state != stateCut && o.Pending() {
		p, _ := o.Next(buf)
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

// pumpBlocking writes one batch, however long that takes, and reports whether the outbox has
// more.
func (c *Conn) pumpBlocking(t transport.BlockingWriter) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.out
	if c.state != stateCut && o.Pending() {
		buf := getFrame()
		defer putFrame(buf)
		p, frames := o.Next(buf)
		o.Claim(frames)
		c.progressed(o)
		c.mu.Unlock()
		n, err := t.Write(p, func() { c.progressed(o) })
		c.traffic().bytesOut.Add(uint64(n))
		c.mu.Lock()
		o.Claim(0)
		c.wroteLocked(n)
		if err != nil {
			c.vanishedLocked(err)
		}
	}
	if c.state != stateCut && o.Pending() {
		return true
	}
	c.writerEndsLocked()
	return false
}

// wroteLocked notes that n bytes of the outbox were written.
func (c *Conn) wroteLocked(n int) {
	if n == 0 {
		return
	}
	c.progressed(c.out)
	messages, closed := c.out.Advance(n)
	c.traffic().messagesOut.Add(uint64(messages))
	if closed {
		c.closeSentLocked()
	}
	c.admitWaitersLocked()
}

// writerEndsLocked is called when the writer stops.
func (c *Conn) writerEndsLocked() {
	o := c.out
	o.SetWriting(false)
	switch {
	case c.state == stateCut:
		o.Abandon()
		c.dropLocked()
	case o.Waiters() > 0: // admitWaitersLocked needs the outbox
	default:
		c.out = nil
	}
}

// progressed notes that the writer has made progress. It is safe without the lock.
func (c *Conn) progressed(o *outbox.Queue) { o.Progressed(c.m.wheel.Elapsed()) }

// writeStuckSince returns when the writer last made progress; false if there is no writer.
func (c *Conn) writeStuckSince() (time.Duration, bool) {
	if !c.out.Writing() {
		return 0, false
	}
	return c.out.LastProgress(), true
}

// flushLocked starts a writer if the outbox is not empty.
func (c *Conn) flushLocked() {
	if c.attached && c.state != stateCut && c.out.Pending() && !c.out.Writing() {
		c.startWriterLocked()
	}
}

// vanishedLocked cuts a connection whose peer is gone, as a write has noticed.
func (c *Conn) vanishedLocked(err error) {
	c.cutLocked(&CloseError{Code: StatusAbnormalClosure, Remote: true, Err: err})
}
