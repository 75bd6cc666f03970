package deflate

import (
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
)

var errBadDeflate = errors.New("a compressed message can't be inflated")

// MaxCompressed returns the length of the longest compressed form of a message of limit
// bytes: zlib's own bound for the worst settings. A longer one inflates to more than limit
// bytes, or is padded.
func MaxCompressed(limit int) int {
	more := limit/8 + limit/64 + 64
	return limit + min(more, math.MaxInt-limit)
}

// inflater inflates one message at a time.
type inflater struct {
	src inflateSource
	r   io.Reader // a flate.Resetter as well
	out [4 << 10]byte
}

// A pooled inflater takes about 50 KB. Each call of Inflate uses one, so the pool grows to
// the number of simultaneous calls.
var inflaters = sync.Pool{New: func() any {
	in := &inflater{}
	in.r = flate.NewReader(&in.src)
	return in
}}

// inflateEnd is appended to a message's bytes: the end of the flush, which the sender has
// removed, and an empty final block, which shows the reader that nothing is missing.
const inflateEnd = syncTail + "\x01\x00\x00\xff\xff"

// inflateSource reads a message's bytes and then inflateEnd. It is an io.ByteReader, so
// that flate reads only the bytes that it needs.
type inflateSource struct {
	p   []byte
	end int // number of bytes of inflateEnd that were read
}

// whole reports whether flate stopped where a message may end: after its own bytes, after
// syncTail, or after inflateEnd.
func (s *inflateSource) whole() bool {
	return len(s.p) == 0 && (s.end == 0 || s.end == len(syncTail) || s.end == len(inflateEnd))
}

func (s *inflateSource) ReadByte() (byte, error) {
	if len(s.p) > 0 {
		b := s.p[0]
		s.p = s.p[1:]
		return b, nil
	}
	if s.end == len(inflateEnd) {
		return 0, io.EOF
	}
	s.end++
	return inflateEnd[s.end-1], nil
}

func (s *inflateSource) Read(p []byte) (int, error) {
	if len(s.p) > 0 {
		n := copy(p, s.p)
		s.p = s.p[n:]
		return n, nil
	}
	if s.end == len(inflateEnd) {
		return 0, io.EOF
	}
	n := copy(p, inflateEnd[s.end:])
	s.end += n
	return n, nil
}

// Inflate decompresses a whole message, appends it to dst, which must be empty, and returns
// dst, also on an error. It fails at the first byte beyond limit and, in a text, soon after
// the first byte that is not valid UTF-8. dst grows with the output and never beyond limit.
//
// An error is a [frame.Error]. Data that can't be inflated has the code 1007, as it is not
// in the format that the frame announces. (RFC 7692 does not name a code; 1002 is for
// invalid frames.)
func Inflate(dst, compressed []byte, text bool, limit int) ([]byte, error) {
	if len(compressed) == 0 {
		return dst, nil // an empty flush without its tail, which zlib produces and accepts
	}
	in := inflaters.Get().(*inflater)
	defer func() {
		in.src = inflateSource{}
		inflaters.Put(in)
	}()
	in.src = inflateSource{p: compressed}
	var check frame.UTF8
	for {
		if err := in.r.(flate.Resetter).Reset(&in.src, nil); err != nil {
			return dst, badDeflate(err)
		}
		var err error
		for err == nil {
			var n int
			n, err = in.r.Read(in.out[:])
			if len(dst)+n > limit {
				return dst, &frame.Error{Code: ws.StatusMessageTooBig, Err: fmt.Errorf("a message inflates to more than %d bytes", limit)}
			}
			if text && !check.Feed(in.out[:n]) {
				return dst, frame.InvalidUTF8()
			}
			dst = frame.AppendBounded(dst, in.out[:n], limit)
		}
		switch {
		case err != io.EOF:
			return dst, badDeflate(err)
		case len(in.src.p) > 0:
			continue // blocks may follow a final one (RFC 7692, section 7.2.1)
		case !in.src.whole():
			return dst, badDeflate(io.ErrUnexpectedEOF)
		case text && !check.Complete():
			return dst, frame.InvalidUTF8()
		}
		return dst, nil
	}
}

func badDeflate(err error) error {
	return &frame.Error{Code: ws.StatusInvalidFramePayloadData, Err: fmt.Errorf("%w: %w", errBadDeflate, err)}
}
