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
	restData bool     // that frame is a message
	pong     []byte   // the answer to the newest ping
	ping     bool     // a ping is due
	frames   [][]byte // messages that wait, whole
	bytes    int      // of these

	moving int // messages that have left frames and are not wholly written
	flying int // bytes of data in the write under way

	waiters []*waiter // sends that wait for room

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
	if err := checkType(msg); err != nil {
		return nil, err
	}
	if frameSize(len(msg.Payload)) > m.opts.OutboxBytes {
		return nil, ErrMessageTooBig
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

func checkType(msg Message) error {
	if msg.Type != TextMessage && msg.Type != BinaryMessage {
		return ErrMessageType
	}
	return nil
}

// waiting reports whether there is anything to write.
func (o *outbox) waiting() bool {
	return o.rest != nil || o.pong != nil || o.ping || len(o.frames) > 0 || o.closing != nil && !o.closeSent
}

// load is what counts against the limits: what waits and what is on its way.
func (o *outbox) load() (messages, bytes int) {
	return len(o.frames) + o.moving, o.bytes + o.flying + len(o.rest)
}

func (o *outbox) push(frame []byte) {
	o.frames = append(o.frames, frame)
	o.bytes += len(frame)
}

// pop removes the oldest message that waits.
func (o *outbox) pop() []byte {
	f := o.frames[0]
	o.frames[0] = nil
	o.frames = o.frames[1:]
	o.bytes -= len(f)
	return f
}

// keepRest remembers what is left of a frame that went out in part.
func (o *outbox) keepRest(rest []byte, data bool) {
	if len(rest) > 0 {
		o.rest, o.restData = rest, data
		if data {
			o.moving++
		}
	}
}

var pingFrame = appendFrame(nil, ws.OpPing, nil)

// writeChunk is about how much one blocking write takes on.
const writeChunk = 64 << 10

// batch is what one write takes on.
type batch struct {
	bufs    [][]byte
	resumed bool // bufs[0] goes on with a message
	first   int  // bufs[first:] are messages, but for a close frame at the end
	parted  bool // the last of bufs is not the end of its message
	closes  bool // the last of bufs is the close frame
}

// take removes the next batch.
func (o *outbox) take() (b batch) {
	size := 0 // of data
	if o.rest != nil {
		b.resumed = o.restData
		part := o.rest
		if len(part) > writeChunk {
			part, b.parted = part[:writeChunk], true
		}
		b.bufs, size = append(b.bufs, part), len(part)
		o.rest = o.rest[len(part):]
		b.first = 1
	}
	if !b.parted {
		o.rest = nil
		b.control(o)
		for len(o.frames) > 0 && size < writeChunk {
			f := o.pop()
			o.moving++
			if len(f) > writeChunk {
				o.rest, o.restData, b.parted = f[writeChunk:], true, true
				f = f[:writeChunk]
			}
			b.bufs = append(b.bufs, f)
			size += len(f)
		}
		if len(o.frames) == 0 {
			o.frames = nil
		}
		if o.rest == nil && len(o.frames) == 0 && o.closing != nil && !o.closeSent {
			b.bufs, b.closes = append(b.bufs, o.closing), true
		}
	}
	o.flying = size
	return b
}

// control takes the control frames, which go between two messages.
func (b *batch) control(o *outbox) {
	if o.pong != nil {
		b.bufs = append(b.bufs, o.pong)
		o.pong = nil
		b.first++
	}
	if o.ping {
		b.bufs = append(b.bufs, pingFrame)
		o.ping = false
		b.first++
	}
}

// messages is how many messages have their last byte among the first n bytes of
// the batch.
func (b *batch) messages(n int) (count int) {
	for i, p := range b.bufs {
		if n -= len(p); n < 0 {
			break
		}
		last := i == len(b.bufs)-1
		data := i >= b.first && !(last && b.closes) || i == 0 && b.resumed
		if data && !(last && b.parted) {
			count++
		}
	}
	return count
}
