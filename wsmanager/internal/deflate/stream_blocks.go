package deflate

import "io"

// codesHeader is the header of a block's codes (RFC 1951, section 3.2.7).
type codesHeader struct {
	lits, dists, orders int                       // how many code lengths follow
	read                int                       // how many were read
	lengths             [maxLits + maxDists]uint8 // of literals, then of distances
	ofLengths           [len(lengthOrder)]uint8   // code lengths of code lengths
}

// lengthOrder is the order of the code lengths of code lengths.
var lengthOrder = [...]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

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
