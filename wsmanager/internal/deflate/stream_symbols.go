package deflate

var (
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
