package deflate

import (
	"encoding/binary"
	"errors"
	"io"
	"sync"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
)

// Stream inflates one message while it arrives. It is a [frame.Inflater]. compress/flate
// can't do that without a goroutine for each message: it pulls its input, and an error of its
// source ends it. A Stream takes 56 KB, whatever the message contains.
type Stream struct {
	streamState
	out [pieceSize]byte // what Next returns: its user may change it, and matches must not see that
}

// streamState is the part of a Stream that a clone needs.
type streamState struct {
	in    []byte // input that was not read
	bits  uint64 // read and not used; the lowest is the next one
	nbits uint   // number of valid bits; those above are the beginning of in, or 0
	begun bool   // the message has a byte
	ended bool   // the message has no bytes behind in
	tail  bool   // in is the rest of inflateEnd

	step   step
	final  bool // the present block is marked as the last one
	fixed  bool // it has the fixed codes
	stored int  // bytes of a stored block that were not read
	length int  // bytes of a match that were not written
	back   int  // the match's distance
	header codesHeader

	lits  huffman // of literals and lengths; that of code lengths before
	dists huffman // of distances

	window  [windowSize]byte // a ring of output
	at      int              // the next byte is written here
	from    int              // the output of Next begins here
	history int              // bytes before from that matches may use
}

// step says what a Stream reads next.
type step uint8

const (
	stepBlock       step = iota // the header of a block
	stepStored                  // the length of a stored block
	stepStoredBytes             // its bytes
	stepCodes                   // the header of a block's codes
	stepOfLengths               // code lengths of code lengths
	stepLengths                 // code lengths
	stepSymbols                 // literals and matches
	stepBehindFinal             // anything behind a final block
	stepDone                    // nothing
)

const (
	windowSize = 32 << 10
	pieceSize  = 16 << 10
	maxLits    = 286
	maxDists   = 30
	endOfBlock = 256
)

// Streams are pooled. The pool grows to the number of compressed messages that arrive at a
// time.
var streams = sync.Pool{New: func() any { return new(Stream) }}

// NewStream returns a Stream for one message.
func NewStream() frame.Inflater {
	s := streams.Get().(*Stream)
	s.in, s.bits, s.nbits, s.begun, s.ended, s.tail = nil, 0, 0, false, false, false
	s.step, s.at, s.from, s.history = stepBlock, 0, 0, 0
	s.length = 0
	return s
}

// Feed implements frame.Inflater.
func (s *Stream) Feed(p []byte) {
	s.in = p
	s.begun = s.begun || len(p) > 0
}

// End implements frame.Inflater.
func (s *Stream) End() { s.ended = true }

// Clone implements frame.Inflater. It may be called while the user of a piece changes it.
func (s *Stream) Clone() frame.Inflater {
	c := streams.Get().(*Stream)
	c.streamState = s.streamState
	c.in = append([]byte(nil), s.in...)
	return c
}

// Release implements frame.Inflater.
func (s *Stream) Release() {
	s.in = nil
	streams.Put(s)
}

var (
	errNeedsInput = errors.New("more input is needed")
	errFull       = errors.New("the output is full")
	errCorrupt    = errors.New("corrupt data")
)

// Next implements frame.Inflater. A message ends as [Inflate] says.
func (s *Stream) Next(limit int) (p []byte, more bool, err error) {
	s.history = min(s.history+s.at-s.from, windowSize)
	if s.at == windowSize {
		s.at = 0
	}
	s.from = s.at
	end := s.from + min(limit, pieceSize, windowSize-s.from)
	err = s.run(end)
	if err == errNeedsInput && s.ended && !s.tail {
		if !s.begun || s.step == stepBehindFinal {
			s.step = stepDone
		} else {
			s.in, s.tail = inflateEndBytes, true
		}
		err = s.run(end)
	}
	switch {
	case err == nil:
	case err == errFull:
		more = true
	case err != errNeedsInput:
		return nil, false, badDeflate(err)
	case s.tail:
		return nil, false, badDeflate(io.ErrUnexpectedEOF)
	}
	return s.out[:copy(s.out[:], s.window[s.from:s.at])], more, nil
}

var inflateEndBytes = []byte(inflateEnd)

// run inflates until the output reaches end in the window (errFull), the input is used up
// (errNeedsInput), or the message is complete (nil).
func (s *Stream) run(end int) (err error) {
	for err == nil {
		switch s.step {
		case stepBlock:
			err = s.block()
		case stepStored:
			err = s.storedLength()
		case stepStoredBytes:
			err = s.storedBytes(end)
		case stepCodes:
			err = s.codes()
		case stepOfLengths:
			err = s.codesOfLengths()
		case stepLengths:
			err = s.codeLengths()
		case stepSymbols:
			err = s.symbols(end)
		case stepBehindFinal:
			err = s.behindFinal()
		case stepDone:
			return nil
		}
	}
	return err
}

// fill reads input until there are at least 56 bits, or no more input.
func (s *Stream) fill() {
	if len(s.in) >= 8 {
		s.bits |= binary.LittleEndian.Uint64(s.in) << s.nbits // again, for those that are valid after this
		n := (63 - s.nbits) >> 3
		s.in = s.in[n:]
		s.nbits += n << 3
		return
	}
	for s.nbits < 56 && len(s.in) > 0 {
		s.bits |= uint64(s.in[0]) << s.nbits
		s.in = s.in[1:]
		s.nbits += 8
	}
}

// need reports whether there are n bits, at most 56.
func (s *Stream) need(n uint) bool {
	if s.nbits < n {
		s.fill()
	}
	return s.nbits >= n
}

// take removes n bits, which are there.
func (s *Stream) take(n uint) (v uint32) {
	v = uint32(s.bits) & (1<<n - 1)
	s.bits >>= n
	s.nbits -= n
	return v
}

// align drops the bits before the next byte.
func (s *Stream) align() { s.take(s.nbits & 7) }
