package frame

import "sync"

// buffers has buffers for encoding, joining and inflating frames.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// MaxPooled is the capacity above which a buffer is not pooled, so that one big message does not
// hold memory. The outbox keeps such a buffer.
const MaxPooled = 160 << 10

// GetBuffer returns an empty buffer for frames. PutBuffer takes it back.
func GetBuffer() *[]byte {
	buf := buffers.Get().(*[]byte)
	*buf = (*buf)[:0]
	return buf
}

// PutBuffer takes a buffer back. The caller must not use it afterwards.
func PutBuffer(buf *[]byte) {
	if cap(*buf) <= MaxPooled {
		buffers.Put(buf)
	}
}
