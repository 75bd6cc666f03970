package wsmanager

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

// maxCompressed is how long a message of limit bytes can be when it is compressed:
// zlib's own bound for the worst settings. What is longer inflates to more, or is
// padded.
func maxCompressed(limit int) int {
	more := limit/8 + limit/64 + 64
	return limit + min(more, math.MaxInt-limit)
}

// inflater inflates one message at a time.
type inflater struct {
	src inflateSource
	r   io.Reader // a flate.Resetter as well
	out [4 << 10]byte
}

// inflaters are as many as were at work at the same time: about 50 KB each. A
// connection has one while it inflates a message that is there whole, and no longer.
var inflaters = sync.Pool{New: func() any {
	in := &inflater{}
	in.r = flate.NewReader(&in.src)
	return in
}}

// inflateEnd is what follows a message's bytes: the end of the flush that its sender
// took off, and an empty final block, by which the reader sees that nothing is
// missing.
const inflateEnd = syncTail + "\x01\x00\x00\xff\xff"

// inflateSource is a message's bytes and inflateEnd. It is an io.ByteReader, so that
// flate reads no byte more than it needs.
type inflateSource struct {
	p   []byte
	end int // bytes of inflateEnd that were read
}

// whole reports whether a final block that has just ended did so at the end of the
// message, with its flush or without, or is the one that we put there.
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

// inflate appends the inflated form of a whole message's bytes to dst, which is
// empty, and returns it. It stops at the byte that is one too many, and, in a text,
// soon after the first byte that no valid text has there. dst grows with what comes
// out.
//
// What can't be inflated closes with 1007: the data is not of the form that it is
// said to have. (RFC 7692 leaves the code open. 1002 is for frames that are wrong.)
func inflate(dst, compressed []byte, text bool, limit int) ([]byte, error) {
	if len(compressed) == 0 {
		return dst, nil // an empty flush without its tail: zlib makes it and takes it
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
			continue // that was a final block, and more follow (RFC 7692, section 7.2.1)
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
