package wsmanager

func (c *Conn) startWriterLocked() {
	if c.t == nil || c.out.writing || c.state == stateCut {
		return
	}
	c.out.writing = true
	c.progressed()
	c.scheduleLocked()
	c.m.active.add()
	go c.writeLoop()
}

// writeLoop writes until nothing waits. There is one per connection at most, and
// only while there is a backlog.
func (c *Conn) writeLoop() {
	defer c.m.active.done()
	if c.writeBacklog() == stateCut {
		c.m.registry.fold(c) // the connection may have been released in the meantime
	}
}

// writeBacklog returns the state in which the connection is afterwards.
func (c *Conn) writeBacklog() connState {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := &c.out
	progress := c.progressed
	for c.state != stateCut && o.waiting() {
		b := o.take()
		c.progressed()
		c.mu.Unlock()
		n, err := c.writeJoined(b.bufs, progress)
		done := b.messages(n)
		c.traffic.bytesOut.Add(uint64(n))
		c.traffic.messagesOut.Add(uint64(done))
		c.mu.Lock()
		o.flying = 0
		o.moving -= done
		if err != nil {
			c.vanishedLocked(err)
			break
		}
		if b.closes {
			c.closeSentLocked()
		}
		c.letInLocked()
	}
	o.writing = false
	if c.state == stateCut && o.moving > 0 {
		c.m.stats.drop(dropClosed, o.moving)
		o.moving = 0
	}
	return c.state
}

// writeJoined writes the frames in one go.
func (c *Conn) writeJoined(frames [][]byte, progress func()) (int, error) {
	if len(frames) == 1 {
		return c.t.write(frames[0], progress)
	}
	buf := frameBuffers.Get().(*[]byte)
	defer putFrame(buf)
	*buf = (*buf)[:0]
	for _, f := range frames {
		*buf = append(*buf, f...)
	}
	return c.t.write(*buf, progress)
}

// progressed notes that the writer is getting on.
func (c *Conn) progressed() { c.progress.Store(int64(c.m.wheel.elapsed())) }

// vanishedLocked cuts a connection whose peer is gone, as a write has noticed.
func (c *Conn) vanishedLocked(err error) {
	c.cutLocked(&CloseError{Code: StatusAbnormalClosure, Remote: true, Err: err})
}
