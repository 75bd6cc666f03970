package wsmanager

import "sync"

// frameBuffers has the buffers in which frames are encoded, joined and inflated.
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
