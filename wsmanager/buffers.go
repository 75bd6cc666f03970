package wsmanager

import "sync"

// frameBuffers has buffers for encoding, joining and inflating frames.
var frameBuffers = sync.Pool{New: func() any { return new([]byte) }}

// maxPooledFrame is the capacity above which a buffer is not pooled, so that one big message
// does not hold memory. The outbox keeps such a buffer: see sender.push.
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
