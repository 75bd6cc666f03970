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
// source ends it. A Stream takes 40 KB, whatever the message contains.
type Stream struct {
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

// codesHeader is the header of a block's codes (RFC 1951, section 3.2.7).
type codesHeader struct {
	lits, dists, orders int                       // how many code lengths follow
	read                int                       // how many were read
	lengths             [maxLits + maxDists]uint8 // of literals, then of distances
	ofLengths           [len(lengthOrder)]uint8   // code lengths of code lengths
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
	maxLits    = 286
	maxDists   = 30
	endOfBlock = 256
)

var (
	// lengthOrder is the order of the code lengths of code lengths.
	lengthOrder = [...]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

	// The values of length and distance symbols, and their numbers of further bits (RFC
	// 1951, section 3.2.5).

	lengthBase = [...]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthBits = [...]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distBase   = [...]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	distBits   = [...]uint8{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}

	fixedLits, fixedDists = fixedCodes()
)

// fixedCodes returns the codes of RFC 1951, section 3.2.6.
func fixedCodes() (lits, dists *huffman) {
	var lengths [maxSymbols]uint8
	for i := range lengths {
		switch {
		case i < 144:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		case i < 280:
			lengths[i] = 7
		default:
			lengths[i] = 8
		}
	}
	lits, dists = new(huffman), new(huffman)
	lits.init(lengths[:])
	for i := range 32 {
		lengths[i] = 5
	}
	dists.init(lengths[:32])
	return lits, dists
}

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

// Clone implements frame.Inflater.
func (s *Stream) Clone() frame.Inflater {
	c := streams.Get().(*Stream)
	*c = *s
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
	end := s.from + min(limit, windowSize-s.from)
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
	return s.window[s.from:s.at], more, nil
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

func (s *Stream) block() error {
	if !s.need(3) {
		return errNeedsInput
	}
	s.final = s.take(1) != 0
	switch s.take(2) {
	case 0:
		s.align()
		s.step = stepStored
	case 1:
		s.fixed, s.step = true, stepSymbols
	case 2:
		s.fixed, s.step = false, stepCodes
	default:
		return errCorrupt
	}
	return nil
}

func (s *Stream) blockEnds() {
	s.step = stepBlock
	if s.final {
		s.step = stepBehindFinal
	}
}

// behindFinal begins another stream if the message has further bytes behind a final block
// (RFC 7692, section 7.2.1). Its matches can't use the bytes of the one before, as in zlib.
func (s *Stream) behindFinal() error {
	s.align()
	unread := len(s.in) + int(s.nbits>>3)
	switch {
	case !s.tail && unread == 0:
		return errNeedsInput
	case !s.tail:
		s.step, s.history = stepBlock, s.from-s.at
		return nil
	case unread == 0 || unread == len(inflateEnd)-len(syncTail):
		s.step = stepDone
		return nil
	}
	return io.ErrUnexpectedEOF
}

func (s *Stream) storedLength() error {
	if !s.need(32) {
		return errNeedsInput
	}
	n := s.take(16)
	if s.take(16) != ^n&0xffff {
		return errCorrupt
	}
	s.stored, s.step = int(n), stepStoredBytes
	return nil
}

func (s *Stream) storedBytes(end int) error {
	for s.stored > 0 {
		switch {
		case s.at == end:
			return errFull
		case s.nbits > 0:
			s.window[s.at] = byte(s.take(8))
			s.at++
			s.stored--
			continue
		case len(s.in) == 0:
			return errNeedsInput
		}
		s.bits = 0 // see nbits
		n := copy(s.window[s.at:min(end, s.at+s.stored)], s.in)
		s.in = s.in[n:]
		s.at += n
		s.stored -= n
	}
	s.blockEnds()
	return nil
}

func (s *Stream) codes() error {
	if !s.need(14) {
		return errNeedsInput
	}
	h := &s.header
	h.lits, h.dists, h.orders = int(s.take(5))+257, int(s.take(5))+1, int(s.take(4))+4
	if h.lits > maxLits || h.dists > maxDists {
		return errCorrupt
	}
	h.read, h.ofLengths = 0, [len(lengthOrder)]uint8{}
	s.step = stepOfLengths
	return nil
}

func (s *Stream) codesOfLengths() error {
	h := &s.header
	for ; h.read < h.orders; h.read++ {
		if !s.need(3) {
			return errNeedsInput
		}
		h.ofLengths[lengthOrder[h.read]] = uint8(s.take(3))
	}
	if !s.lits.init(h.ofLengths[:]) {
		return errCorrupt
	}
	h.read, s.step = 0, stepLengths
	return nil
}

func (s *Stream) codeLengths() error {
	h := &s.header
	all := h.lengths[:h.lits+h.dists]
	for h.read < len(all) {
		s.need(15 + 7)
		symbol, used := s.lits.decode(s.bits, s.nbits)
		switch {
		case used < 0:
			return errCorrupt
		case used == 0:
			return errNeedsInput
		case symbol < 16:
			s.take(uint(used))
			all[h.read] = uint8(symbol)
			h.read++
			continue
		}
		var value uint8
		repeat, extra := 3, uint(2)
		switch symbol {
		case 16:
			if h.read == 0 {
				return errCorrupt
			}
			value = all[h.read-1]
		case 17:
			extra = 3
		default:
			repeat, extra = 11, 7
		}
		if s.nbits < uint(used)+extra {
			return errNeedsInput
		}
		s.take(uint(used))
		repeat += int(s.take(extra))
		if repeat > len(all)-h.read {
			return errCorrupt
		}
		for range repeat {
			all[h.read] = value
			h.read++
		}
	}
	if !s.lits.init(all[:h.lits]) || !s.dists.init(all[h.lits:]) {
		return errCorrupt
	}
	s.step = stepSymbols
	return nil
}

func (s *Stream) symbols(end int) error {
	if s.length > 0 && !s.copyMatch(end) {
		return errFull
	}
	lits := &s.lits
	if s.fixed {
		lits = fixedLits
	}
	for {
		if s.nbits < 48 { // the most that one round needs
			s.fill()
		}
		symbol, used := lits.decode(s.bits, s.nbits)
		switch {
		case used <= 0:
			return undecoded(used)
		case symbol < endOfBlock:
			if s.at == end {
				return errFull
			}
			s.window[s.at] = byte(symbol)
			s.at++
			s.take(uint(used))
		case symbol == endOfBlock:
			s.take(uint(used))
			s.blockEnds()
			return nil
		case symbol >= maxLits:
			return errCorrupt
		default:
			if err := s.match(int(symbol)-endOfBlock-1, uint(used)); err != nil {
				return err
			}
			if !s.copyMatch(end) {
				return errFull
			}
		}
	}
}

func undecoded(used int) error {
	if used < 0 {
		return errCorrupt
	}
	return errNeedsInput
}

// match reads a match, whose length symbol has the given number and used bits. It takes the
// bits only if all are there.
func (s *Stream) match(length int, used uint) error {
	extra := uint(lengthBits[length])
	if used+extra > s.nbits {
		return errNeedsInput
	}
	n := int(lengthBase[length]) + int(s.bits>>used&(1<<extra-1))
	used += extra
	dists := &s.dists
	if s.fixed {
		dists = fixedDists
	}
	dist, more := dists.decode(s.bits>>used, s.nbits-used)
	switch {
	case more <= 0:
		return undecoded(more)
	case dist >= maxDists:
		return errCorrupt
	}
	used += uint(more)
	extra = uint(distBits[dist])
	if used+extra > s.nbits {
		return errNeedsInput
	}
	back := int(distBase[dist]) + int(s.bits>>used&(1<<extra-1))
	if back > s.history+s.at-s.from {
		return errCorrupt
	}
	s.bits >>= used + extra
	s.nbits -= used + extra
	s.length, s.back = n, back
	return nil
}

// copyMatch copies the match, up to end. It reports whether that was all.
func (s *Stream) copyMatch(end int) bool {
	n := min(s.length, end-s.at)
	s.length -= n
	from := s.at - s.back
	if from < 0 {
		from += windowSize
	}
	for n > 0 {
		part := min(n, windowSize-from)
		if from < s.at {
			part = min(part, s.at-from) // from stays, so the part doubles if the match overlaps itself
		}
		copy(s.window[s.at:s.at+part], s.window[from:from+part])
		s.at += part
		n -= part
		if from+part == windowSize {
			from = 0
		}
	}
	return s.length == 0
}
