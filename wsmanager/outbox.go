package wsmanager

import (
	"sync"

	"github.com/gobwas/ws"
)

// outbox is what waits to be written to one connection, in order. Only whole
// frames enter it; control frames and the close frame have places of their own,
// so that they are never dropped for want of room. Conn.mu guards it.
type outbox struct {
	rest     []byte   // of the frame that went out in part: first
	pong     []byte   // the answer to the newest ping
	ping     bool     // a ping is due
	frames   [][]byte // data
	messages int      // data frames in frames and on their way
	bytes    int      // of these

	closing   []byte // the close frame: last
	closeSent bool

	writing bool // a writer goroutine is at work
	ended   bool // OnClose is due or done
}

// frameBuffers lends the buffers in which single sends are encoded.
var frameBuffers = sync.Pool{New: func() any { return new([]byte) }}

// maxPooledFrame keeps the buffers of rare big messages out of the pool.
const maxPooledFrame = 160 << 10

// encode makes the frame of a message in a buffer to be given back by putFrame.
func (m *Manager) encode(msg Message) (*[]byte, error) {
	if err := m.checkMessage(msg); err != nil {
		return nil, err
	}
	buf := frameBuffers.Get().(*[]byte)
	*buf = appendFrame((*buf)[:0], ws.OpCode(msg.Type), msg.Payload)
	return buf, nil
}

func putFrame(buf *[]byte) {
	if cap(*buf) <= maxPooledFrame {
		frameBuffers.Put(buf)
	}
}

func (m *Manager) checkMessage(msg Message) error {
	if msg.Type != TextMessage && msg.Type != BinaryMessage {
		return ErrMessageType
	}
	if frameSize(len(msg.Payload)) > m.opts.OutboxBytes {
		return ErrMessageTooBig
	}
	return nil
}

// send writes a data frame, or queues it. A frame that is not shared is copied
// if it has to wait.
func (c *Conn) send(frame []byte, shared bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != stateOpen {
		return ErrClosed
	}
	o := &c.out
	if c.t != nil && !o.writing && !o.waiting() {
		n, err := c.t.tryWrite(frame)
		if err != nil {
			c.vanishedLocked(err)
			return ErrClosed
		}
		if n == len(frame) {
			return nil
		}
		if n > 0 {
			rest := frame[n:]
			if !shared {
				rest = append([]byte(nil), rest...)
			}
			o.keepRest(rest)
			c.startWriterLocked()
			return nil
		}
	}
	if o.messages >= c.m.opts.OutboxMessages || o.bytes+len(frame) > c.m.opts.OutboxBytes {
		c.closeLocked(&CloseError{Code: StatusTryAgainLater, Err: ErrSlowConsumer}, closeFail)
		return ErrOutboxFull
	}
	if !shared {
		frame = append([]byte(nil), frame...)
	}
	o.frames = append(o.frames, frame)
	o.messages++
	o.bytes += len(frame)
	c.startWriterLocked()
	return nil
}

// sendControlLocked writes a ping or pong, or leaves it in its place: a newer one
// takes it over, so that a peer can't make us keep many.
func (c *Conn) sendControlLocked(op ws.OpCode, payload []byte) {
	if c.state != stateOpen || c.t == nil {
		return
	}
	if op == ws.OpPing {
		c.out.ping = true
	} else {
		c.out.pong = appendFrame(nil, op, payload)
	}
	c.flushLocked()
}

// waiting reports whether there is anything to write.
func (o *outbox) waiting() bool {
	return o.rest != nil || o.pong != nil || o.ping || len(o.frames) > 0 || o.closing != nil && !o.closeSent
}

var pingFrame = appendFrame(nil, ws.OpPing, nil)

// writeChunk is about how much one blocking write takes on.
const writeChunk = 64 << 10

// take removes what the next write takes on. It tells how many messages and
// bytes of data are in it, and whether the close frame is.
func (o *outbox) take() (bufs [][]byte, messages, bytes int, closes bool) {
	if o.rest != nil {
		if len(o.rest) > writeChunk {
			part := o.rest[:writeChunk]
			o.rest = o.rest[writeChunk:]
			return [][]byte{part}, 0, len(part), false
		}
		bufs = append(bufs, o.rest)
		messages, bytes = 1, len(o.rest)
		o.rest = nil
	}
	if o.pong != nil {
		bufs = append(bufs, o.pong)
		o.pong = nil
	}
	if o.ping {
		bufs = append(bufs, pingFrame)
		o.ping = false
	}
	for len(o.frames) > 0 && bytes < writeChunk {
		f := o.frames[0]
		o.frames[0] = nil
		o.frames = o.frames[1:]
		if len(f) > writeChunk {
			bufs = append(bufs, f[:writeChunk])
			o.rest = f[writeChunk:]
			return bufs, messages, bytes + writeChunk, false
		}
		bufs = append(bufs, f)
		messages++
		bytes += len(f)
	}
	if len(o.frames) == 0 {
		o.frames = nil
		if o.closing != nil && !o.closeSent {
			bufs = append(bufs, o.closing)
			closes = true
		}
	}
	return bufs, messages, bytes, closes
}

// flushLocked sends what waits: at once as far as that goes without waiting, the
// rest by a writer goroutine.
func (c *Conn) flushLocked() {
	o := &c.out
	if c.t == nil || o.writing || c.state == stateCut || !o.waiting() {
		return
	}
	if o.rest == nil && len(o.frames) == 0 {
		// A control frame alone, the common case.
		switch {
		case o.closing != nil:
			n, ok := c.tryControlLocked(o.closing)
			if o.closing = o.closing[n:]; ok {
				c.closeSentLocked()
				return
			}
		case o.pong != nil && !o.ping:
			n, ok := c.tryControlLocked(o.pong)
			if ok || n > 0 {
				o.keepRest(o.pong[n:])
				o.pong = nil
			}
		case o.ping && o.pong == nil:
			n, ok := c.tryControlLocked(pingFrame)
			if ok || n > 0 {
				o.keepRest(pingFrame[n:])
				o.ping = false
			}
		}
	}
	if o.waiting() {
		c.startWriterLocked()
	}
}

// tryControlLocked writes as much of the frame as goes without waiting, and
// reports whether that is all.
func (c *Conn) tryControlLocked(frame []byte) (n int, all bool) {
	n, err := c.t.tryWrite(frame)
	if err != nil {
		c.vanishedLocked(err)
		return n, false
	}
	return n, n == len(frame)
}

// keepRest remembers what is left of a frame that went out in part.
func (o *outbox) keepRest(rest []byte) {
	if len(rest) > 0 {
		o.rest = rest
		o.messages++
		o.bytes += len(rest)
	}
}

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
	c.mu.Lock()
	defer c.mu.Unlock()
	o := &c.out
	progress := c.progressed
	for c.state != stateCut && o.waiting() {
		frames, messages, bytes, closes := o.take()
		c.progressed()
		c.mu.Unlock()
		err := c.writeJoined(frames, progress)
		c.mu.Lock()
		o.messages -= messages
		o.bytes -= bytes
		if err != nil {
			c.vanishedLocked(err)
			break
		}
		if closes {
			c.closeSentLocked()
		}
	}
	o.writing = false
}

// writeJoined writes the frames in one go.
func (c *Conn) writeJoined(frames [][]byte, progress func()) error {
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
func (c *Conn) progressed() { c.progress.Store(c.m.wheel.now()) }

// vanishedLocked cuts a connection whose peer is gone, as a write has noticed.
func (c *Conn) vanishedLocked(err error) {
	c.cutLocked(&CloseError{Code: StatusAbnormalClosure, Remote: true, Err: err})
}
