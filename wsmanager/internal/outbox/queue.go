package outbox

import (
	"sync/atomic"
	"unsafe"
)

// Queue has the frames that one connection still has to write, in order. See the package
// comment for who may call its methods.
type Queue struct {
	frames [][]byte
	sent   int // bytes of frames[0] that have been written

	messages int // number of messages in frames
	bytes    int // of these messages, without those that have been written

	pong []byte // answer to the newest ping, nil if there is none
	ping []byte // ping that is due, nil if there is none

	claimed         int // number of frames at the head that a write has claimed
	claimedMessages int // number of messages among them
	claimedBytes    int // of these messages, without those that were written before

	waiters []*Waiter

	onSent func(frame []byte)

	pooled *byte // the first byte of a frame of PushPooled, nil if there is none

	writing  bool         // a writer is at work
	progress atomic.Int64 // time.Duration at which it last made progress
}

// New makes an empty Queue. It calls onSent, if that is not nil, for each message whose
// last byte has been written, from within Advance.
func New(onSent func(frame []byte)) *Queue { return &Queue{onSent: onSent} }

const (
	opcodeMask  = 0x0f
	controlBit  = 0x08
	opcodeClose = 0x08
)

func isMessage(frame []byte) bool { return frame[0]&controlBit == 0 }

func isClose(frame []byte) bool { return frame[0]&opcodeMask == opcodeClose }

// Pending reports whether there is anything to write.
func (q *Queue) Pending() bool {
	return q != nil && (len(q.frames) > 0 || q.pong != nil || q.ping != nil)
}

// Load returns the number and the bytes of the messages that are not fully written.
func (q *Queue) Load() (messages, bytes int) {
	if q == nil {
		return 0, 0
	}
	return q.messages, q.bytes
}

// Droppable returns the part of the load that DropMessages would drop.
func (q *Queue) Droppable() (messages, bytes int) {
	messages, bytes = q.Load()
	switch {
	case q == nil:
	case q.claimed > 0:
		messages, bytes = messages-q.claimedMessages, bytes-q.claimedBytes
	case q.sent > 0 && isMessage(q.frames[0]):
		messages, bytes = messages-1, bytes-(len(q.frames[0])-q.sent)
	}
	return messages, bytes
}

// FirstAbove returns how many bytes of the first message are not written, if its frame has more
// than limit bytes, and otherwise 0.
func (q *Queue) FirstAbove(limit int) int {
	if q == nil {
		return 0
	}
	for i, f := range q.frames {
		switch {
		case !isMessage(f):
			continue
		case len(f) <= limit:
			return 0
		case i == 0:
			return len(f) - q.sent
		}
		return len(f)
	}
	return 0
}

// Last returns the newest frame, or nil.
func (q *Queue) Last() []byte {
	if q == nil || len(q.frames) == 0 {
		return nil
	}
	return q.frames[len(q.frames)-1]
}

// Push adds a frame. Its first sent bytes have been written already, which must be 0 unless
// the Queue is empty.
func (q *Queue) Push(frame []byte, sent int) {
	q.frames = append(q.frames, frame)
	q.sent += sent
	if isMessage(frame) {
		q.messages++
		q.bytes += len(frame) - sent
	}
}

// PushPooled is Push for a frame in memory of package bytepool, which is given back when the
// frame has been written. That of a second frame meanwhile, and of a frame that is dropped, is
// left to the garbage collector.
func (q *Queue) PushPooled(frame []byte, sent int) {
	q.Push(frame, sent)
	if q.pooled == nil {
		q.pooled = unsafe.SliceData(frame)
	}
}

// SetPong puts the frame of a pong before the next frame, instead of an earlier pong.
func (q *Queue) SetPong(frame []byte) { q.pong = frame }

// SetPing puts the frame of a ping before the next frame, instead of an earlier ping.
func (q *Queue) SetPing(frame []byte) { q.ping = frame }

// DropControl drops the pong and the ping: no frame may follow the close frame.
func (q *Queue) DropControl() { q.pong, q.ping = nil, nil }

// inProgress returns the number of frames at the head that cannot be dropped.
func (q *Queue) inProgress() int {
	if q.claimed == 0 && q.sent > 0 {
		return 1
	}
	return q.claimed
}

// DropOldest drops the oldest message that can be dropped, and reports whether there was
// one.
func (q *Queue) DropOldest() bool {
	for i := q.inProgress(); i < len(q.frames); i++ {
		if f := q.frames[i]; isMessage(f) {
			q.frames = deleteFrame(q.frames, i)
			q.messages--
			q.bytes -= len(f)
			return true
		}
	}
	return false
}

// deleteFrame moves the frames before i, unlike slices.Delete: the oldest messages are near
// the head.
func deleteFrame(frames [][]byte, i int) [][]byte {
	copy(frames[1:i+1], frames[:i])
	frames[0] = nil
	return frames[1:]
}

// DropMessages drops all messages that can be dropped and returns their number.
func (q *Queue) DropMessages() (n int) {
	if q == nil {
		return 0
	}
	keep := q.inProgress()
	for _, f := range q.frames[keep:] {
		if !isMessage(f) {
			q.frames[keep] = f
			keep++
			continue
		}
		n++
		q.messages--
		q.bytes -= len(f)
	}
	clear(q.frames[keep:])
	q.frames = q.frames[:keep]
	return n
}

// Abandon makes a frame droppable of which a part has been written, unless a write has
// claimed it: the connection is closed, so the rest cannot be written.
func (q *Queue) Abandon() {
	if q.claimed == 0 {
		q.sent = 0
	}
}
