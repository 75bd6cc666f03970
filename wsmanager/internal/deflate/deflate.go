package deflate

import (
	"compress/flate"
	"io"
	"sync"
)

// RSV1 is the bit in the first byte of a message's first frame that marks the message as
// compressed (RFC 7692, section 6).
const RSV1 = 0x40

// syncTail is the end of flushed data. It is not sent (RFC 7692, section 7.2.1).
const syncTail = "\x00\x00\xff\xff"

// maxPooledOutput is the biggest output buffer, in bytes, that is kept in a pool.
const maxPooledOutput = 160 << 10

// Deflater compresses one message at a time.
type Deflater struct {
	level int
	w     *flate.Writer
	out   output
}

// output is the destination of a flate.Writer.
type output []byte

func (o *output) Write(p []byte) (int, error) {
	*o = append(*o, p...)
	return len(p), nil
}

// deflaters are pools by level. They hold as many Deflaters as were in use at the same
// time, about 1.2 MB each.
var deflaters [flate.BestCompression - flate.HuffmanOnly + 1]sync.Pool

// GetDeflater returns a Deflater, to be returned with [PutDeflater]. level is one of
// compress/flate; it panics on others.
func GetDeflater(level int) *Deflater {
	if d, ok := deflaters[level-flate.HuffmanOnly].Get().(*Deflater); ok {
		return d
	}
	w, err := flate.NewWriter(io.Discard, level)
	if err != nil {
		panic(err)
	}
	return &Deflater{level: level, w: w}
}

// PutDeflater returns a Deflater to the pool. The caller must not use it, nor the result of
// its Deflate, afterwards.
func PutDeflater(d *Deflater) {
	if cap(d.out) > maxPooledOutput {
		d.out = nil
	}
	deflaters[d.level-flate.HuffmanOnly].Put(d)
}

// Deflate returns p compressed. The result is valid until the next call or [PutDeflater].
func (d *Deflater) Deflate(p []byte) []byte {
	d.out = d.out[:0]
	d.w.Reset(&d.out)
	_, _ = d.w.Write(p) // output returns no errors
	_ = d.w.Flush()
	return d.out[:len(d.out)-len(syncTail)]
}
