package frame

import (
	"unsafe"

	"github.com/speakingtube/speakingtube/wsmanager/internal/bytepool"
)

const (
	// minSpace is the number of missing bytes from which on they are worth a read of their own,
	// into the message.
	minSpace = 4 << 10

	// maxSpace limits one read into a message, so that a loop returns to other connections.
	maxSpace = 256 << 10
)

// Space returns memory for the next bytes of the peer if they belong into a message that is
// being collected, else nil. Passed to Feed in that memory, they are not copied. It is valid
// until the next call of Feed or Space.
func (r *Reader) Space() []byte {
	if !r.inFrame || r.cfg.Pieces || r.head.OpCode.IsControl() || len(r.msg) < minSpace {
		return nil
	}
	left := r.head.Length - r.done // not more than the limit of the message
	if left < minSpace {
		return nil
	}
	if cap(r.msg)-len(r.msg) < minSpace {
		r.grow(len(r.msg)+minSpace, 0)
	}
	n := min(cap(r.msg)-len(r.msg), int(left), maxSpace)
	return r.msg[len(r.msg) : len(r.msg)+n]
}

// collect adds a chunk, which may be in the memory that Space has returned, to the message.
func (r *Reader) collect(chunk []byte) {
	n := len(r.msg)
	if len(chunk) > 0 && cap(r.msg) > n && &r.msg[:n+1][n] == unsafe.SliceData(chunk) {
		r.msg = r.msg[:n+len(chunk)]
		return
	}
	if n+len(chunk) > cap(r.msg) {
		r.grow(n+len(chunk), len(chunk))
	}
	r.msg = append(r.msg, chunk...)
}

// grow makes room for need bytes of the message, and for more: so that the time of all calls
// is proportional to the length of the message, its memory to the bytes that have arrived, and
// both to the length that its header announces if this is less. unread is the number of bytes
// that were read and not collected.
func (r *Reader) grow(need, unread int) {
	most := r.wireLimit(r.compressed)
	if r.head.Fin {
		most = len(r.msg) + unread + int(r.head.Length-r.done)
	}
	more := need + need/2 // with the present memory 2.5 times, if that is copied
	switch {
	case need < minSpace:
		more = need
	case !r.head.Fin: // the length is unknown
		more = need / 2
	case need <= 64<<10 || need >= 1<<20: // few copies
		more = 3 * min(need, most/4)
	}
	r.msg = bytepool.Grow(r.msg, need+max(0, min(more, most-need)))
}

// AppendBounded is append with a capacity that grows with the bytes that have arrived and
// never beyond limit.
func AppendBounded(dst, p []byte, limit int) []byte {
	if need := len(dst) + len(p); need > cap(dst) {
		grown := make([]byte, len(dst), min(max(need, 2*cap(dst), 512), max(limit, need)))
		copy(grown, dst)
		dst = grown
	}
	return append(dst, p...)
}
