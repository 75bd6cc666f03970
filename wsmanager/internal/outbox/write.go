package outbox

import (
	"time"
	"unsafe"

	"github.com/speakingtube/speakingtube/wsmanager/internal/bytepool"
)

// Writing reports whether a writer is at work.
func (q *Queue) Writing() bool { return q != nil && q.writing }

// SetWriting notes whether a writer is at work.
func (q *Queue) SetWriting(on bool) { q.writing = on }

// Progressed notes that the writer has made progress at a time. It is safe for concurrent
// use.
func (q *Queue) Progressed(at time.Duration) { q.progress.Store(int64(at)) }

// LastProgress returns the time of the last progress. It is safe for concurrent use.
func (q *Queue) LastProgress() time.Duration { return time.Duration(q.progress.Load()) }

// queueControl inserts the pong and the ping before the first frame that is not in
// progress, and behind control frames that were inserted before.
func (q *Queue) queueControl() {
	at := q.inProgress()
	for at < len(q.frames) && !isMessage(q.frames[at]) && !isClose(q.frames[at]) {
		at++
	}
	insert := func(frame []byte) {
		q.frames = append(q.frames, nil)
		copy(q.frames[at+1:], q.frames[at:])
		q.frames[at] = frame
		at++
	}
	if q.pong != nil {
		insert(q.pong)
		q.pong = nil
	}
	if q.ping != nil {
		insert(q.ping)
		q.ping = nil
	}
}

// joinedSize limits the bytes that are joined for one write.
const joinedSize = 64 << 10

// Next returns the bytes to write next, and of how many frames they are. It joins small
// frames in buf; a big frame is returned without copying. The Queue must not be empty. The
// bytes are valid until buf is used again.
func (q *Queue) Next(buf *[]byte) (p []byte, frames int) {
	q.queueControl()
	first := q.frames[0][q.sent:]
	if len(q.frames) == 1 || len(first) >= joinedSize {
		return first, 1
	}
	*buf = append((*buf)[:0], first...)
	frames = 1
	for _, f := range q.frames[1:] {
		if len(*buf)+len(f) > joinedSize {
			break
		}
		*buf = append(*buf, f...)
		frames++
	}
	return *buf, frames
}

// Claim notes that the first frames are being written without the connection's lock, so
// that they are not dropped. Claim(0) ends that, before Advance.
func (q *Queue) Claim(frames int) {
	q.claimed, q.claimedMessages, q.claimedBytes = frames, 0, 0
	for i, f := range q.frames[:frames] {
		if !isMessage(f) {
			continue
		}
		q.claimedMessages++
		q.claimedBytes += len(f)
		if i == 0 {
			q.claimedBytes -= q.sent
		}
	}
}

// Advance removes n bytes that were written. It returns how many messages are fully written
// with them, and whether the close frame is.
func (q *Queue) Advance(n int) (messages int, closed bool) {
	for n > 0 {
		f := q.frames[0]
		part := min(n, len(f)-q.sent)
		n -= part
		q.sent += part
		if isMessage(f) {
			q.bytes -= part
		}
		if q.sent < len(f) {
			break
		}
		q.frames[0], q.frames, q.sent = nil, q.frames[1:], 0
		switch {
		case isMessage(f):
			q.messages--
			messages++
			if q.onSent != nil {
				q.onSent(f)
			}
		case isClose(f):
			closed = true
		}
		if unsafe.SliceData(f) == q.pooled {
			q.pooled = nil
			bytepool.Put(f)
		}
	}
	if len(q.frames) == 0 {
		q.frames = nil // frees the array, which has grown with the backlog
	}
	return messages, closed
}
