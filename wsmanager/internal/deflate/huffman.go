package deflate

import "math/bits"

const (
	maxCodeLen = 15  // bits of the longest code
	maxSymbols = 288 // in the biggest alphabet
	fastBits   = 9   // codes of up to that many bits are found with one look-up
)

// huffman decodes one alphabet of a block (RFC 1951, section 3.2.2). It has a fixed size, so
// that a block with codes of its own allocates nothing.
type huffman struct {
	fast    [1 << fastBits]uint16 // symbol<<4 | length, by the next bits; 0 for longer codes and invalid ones
	count   [maxCodeLen + 1]uint16
	symbols [maxSymbols]uint16 // ordered by code
}

// init makes the codes from their lengths. It returns false for lengths that are no prefix
// code. As in compress/flate, one code of one bit may be alone, and an alphabet may be
// empty: using it is an error.
func (h *huffman) init(lengths []uint8) bool {
	h.fast = [1 << fastBits]uint16{}
	h.count = [maxCodeLen + 1]uint16{}
	longest := 0
	for _, n := range lengths {
		h.count[n]++
		longest = max(longest, int(n))
	}
	h.count[0] = 0
	if longest == 0 {
		return true
	}
	var next, offset [maxCodeLen + 2]int
	code, at := 0, 0
	for n := 1; n <= longest; n++ {
		code <<= 1
		next[n], offset[n] = code, at
		code += int(h.count[n])
		at += int(h.count[n])
	}
	if code != 1<<longest && !(code == 1 && longest == 1) {
		return false
	}
	for symbol, n := range lengths {
		if n == 0 {
			continue
		}
		h.symbols[offset[n]] = uint16(symbol)
		offset[n]++
		code := next[n]
		next[n]++
		if n > fastBits {
			continue
		}
		entry := uint16(symbol)<<4 | uint16(n)
		for i := int(bits.Reverse16(uint16(code)) >> (16 - n)); i < len(h.fast); i += 1 << n {
			h.fast[i] = entry
		}
	}
	return true
}

// decode returns the symbol at the start of b, of which have bits are valid, and the length
// of its code. The length is 0 if the code needs more bits than there are, and negative if
// no code begins like that.
func (h *huffman) decode(b uint64, have uint) (symbol uint16, n int) {
	if e := h.fast[b&(1<<fastBits-1)]; e != 0 {
		if n := uint(e & 15); n <= have {
			return e >> 4, int(n)
		}
		return 0, 0
	}
	return h.decodeLong(b, have)
}

// decodeLong compares the code with the first code of each length.
func (h *huffman) decodeLong(b uint64, have uint) (symbol uint16, n int) {
	code, first, index := 0, 0, 0
	for n := 1; n <= maxCodeLen; n++ {
		if uint(n) > have {
			return 0, 0
		}
		code |= int(b & 1)
		b >>= 1
		count := int(h.count[n])
		if code-first < count {
			return h.symbols[index+code-first], n
		}
		index += count
		first = (first + count) << 1
		code <<= 1
	}
	return 0, -1
}
