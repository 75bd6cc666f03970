package wsmanager

import (
	"sync"
	"sync/atomic"

	"github.com/gobwas/ws"
)

// outbox is what waits to be written to one connection, in order. Only whole
// frames enter it. Control frames don't count against its limits and are never
// dropped for want of room. Conn.mu guards it; where it is nil, nothing waits.
type outbox struct {
	frames [][]byte // in order; the close frame is the last
	sent   int      // bytes of frames[0] that have left

	messages int // in frames
	bytes    int // of these that have not left

	pong []byte // the answer to the newest ping; goes before the next frame
	ping []byte // a ping that is due

	claimed     int // of frames, that a write without the lock is at work on
	claimedMsgs int // messages among these
	claimedSize int // bytes of these

	waiters []*waiter // sends that wait for room

	onLeft func(frame []byte) // the Manager's

	writing  bool         // somebody sees to it that all this is written
	progress atomic.Int64 // when that last got on; since the wheel's zero
}

// frameBuffers lends the buffers in which frames are encoded and joined.
var frameBuffers = sync.Pool{New: func() any { return new([]byte) }}

// maxPooledFrame keeps the buffers of rare big messages out of the pool.
const maxPooledFrame = 160 << 10

func getFrame() *[]byte {
	buf := frameBuffers.Get().(*[]byte)
	*buf = (*buf)[:0]
	return buf
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

// isMessage tells the frames of messages from control frames.
func isMessage(frame []byte) bool { return frame[0]&0x08 == 0 }

func isClose(frame []byte) bool { return ws.OpCode(frame[0]&0x0f) == ws.OpClose }

// waiting reports whether there is anything to write.
func (o *outbox) waiting() bool {
	return o != nil && (len(o.frames) > 0 || o.pong != nil || o.ping != nil)
}

// busy reports whether somebody sees to what is to be written.
func (o *outbox) busy() bool { return o != nil && o.writing }

// load is what counts against the limits.
func (o *outbox) load() (messages, bytes int) {
	if o == nil {
		return 0, 0
	}
	return o.messages, o.bytes
}

// held is how many frames are beyond recall, at the head: those under way.
func (o *outbox) held() int {
	if o.claimed == 0 && o.sent > 0 {
		return 1
	}
	return o.claimed
}

// droppable is the part of the load that is not under way.
func (o *outbox) droppable() (messages, bytes int) {
	messages, bytes = o.load()
	switch {
	case o == nil:
	case o.claimed > 0:
		messages, bytes = messages-o.claimedMsgs, bytes-o.claimedSize
	case o.sent > 0 && isMessage(o.frames[0]):
		messages, bytes = messages-1, bytes-(len(o.frames[0])-o.sent)
	}
	return messages, bytes
}

// push queues a frame, of which the first sent bytes have left if it is the only
// one.
func (o *outbox) push(frame []byte, sent int) {
	o.frames = append(o.frames, frame)
	o.sent += sent
	if isMessage(frame) {
		o.messages++
		o.bytes += len(frame) - sent
	}
}

// dropOldest removes the oldest message that is not under way, if there is one.
func (o *outbox) dropOldest() bool {
	for i := o.held(); i < len(o.frames); i++ {
		if f := o.frames[i]; isMessage(f) {
			o.frames = deleteFrame(o.frames, i)
			o.messages--
			o.bytes -= len(f)
			return true
		}
	}
	return false
}

// deleteFrame is slices.Delete, but cheap near the head, where the oldest are.
func deleteFrame(frames [][]byte, i int) [][]byte {
	copy(frames[1:i+1], frames[:i])
	frames[0] = nil
	return frames[1:]
}

// dropAll removes the messages that are not under way and returns how many.
func (o *outbox) dropAll() (n int) {
	if o == nil {
		return 0
	}
	keep := o.held()
	for _, f := range o.frames[keep:] {
		if !isMessage(f) {
			o.frames[keep] = f
			keep++
			continue
		}
		n++
		o.messages--
		o.bytes -= len(f)
	}
	clear(o.frames[keep:])
	o.frames = o.frames[:keep]
	return n
}

// lineUpControl puts the control frames that are due before the first frame that
// has not begun to leave.
func (o *outbox) lineUpControl() {
	at := o.held()
	for at < len(o.frames) && !isMessage(o.frames[at]) && !isClose(o.frames[at]) {
		at++ // behind those that were lined up before
	}
	insert := func(frame []byte) {
		o.frames = append(o.frames, nil)
		copy(o.frames[at+1:], o.frames[at:])
		o.frames[at] = frame
		at++
	}
	if o.pong != nil {
		insert(o.pong)
		o.pong = nil
	}
	if o.ping != nil {
		insert(o.ping)
		o.ping = nil
	}
}

// writeChunk is about how much is joined for one write.
const writeChunk = 64 << 10

// next returns what is to be written next and of how many frames it is: several
// frames are joined, in the buffer; one big frame is returned as it is.
func (o *outbox) next(buf *[]byte) (p []byte, frames int) {
	o.lineUpControl()
	first := o.frames[0][o.sent:]
	if len(o.frames) == 1 || len(first) >= writeChunk {
		return first, 1
	}
	*buf = append((*buf)[:0], first...)
	frames = 1
	for _, f := range o.frames[1:] {
		if len(*buf)+len(f) > writeChunk {
			break
		}
		*buf = append(*buf, f...)
		frames++
	}
	return *buf, frames
}

// claim notes that the first frames are being written without the lock.
func (o *outbox) claim(frames int) {
	o.claimed, o.claimedMsgs, o.claimedSize = frames, 0, 0
	for i, f := range o.frames[:frames] {
		if !isMessage(f) {
			continue
		}
		o.claimedMsgs++
		o.claimedSize += len(f)
		if i == 0 {
			o.claimedSize -= o.sent
		}
	}
}

// advance notes that n bytes were written. It returns how many messages are out
// with them, and whether the close frame is.
func (o *outbox) advance(n int) (messages int, closed bool) {
	for n > 0 {
		f := o.frames[0]
		part := min(n, len(f)-o.sent)
		n -= part
		o.sent += part
		if isMessage(f) {
			o.bytes -= part
		}
		if o.sent < len(f) {
			break
		}
		o.frames[0], o.frames, o.sent = nil, o.frames[1:], 0
		switch {
		case isMessage(f):
			o.messages--
			messages++
			if o.onLeft != nil {
				o.onLeft(f)
			}
		case isClose(f):
			closed = true
		}
	}
	if len(o.frames) == 0 {
		o.frames = nil // and its array, which has grown with the backlog
	}
	return messages, closed
}
