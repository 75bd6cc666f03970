package broadcast

import "math/bits"

// Variants is the number of variants of a message.
const Variants = 8

// Encoding is the form in which a connection gets messages that are sent to many: its
// variant, and whether it has agreed on compression.
type Encoding uint8

const (
	encodings = 2 * Variants

	// compressedEncodings has the bits of the encodings with compression: the odd ones.
	compressedEncodings = 0xAAAA
)

// EncodingOf returns the encoding with the variant, which is below Variants.
func EncodingOf(variant uint8, deflate bool) Encoding {
	e := Encoding(variant) << 1
	if deflate {
		e |= 1
	}
	return e
}

// Variant returns the variant of the encoding.
func (e Encoding) Variant() uint8 { return uint8(e >> 1) }

// Deflate reports whether the encoding is compressed.
func (e Encoding) Deflate() bool { return e&1 != 0 }

// EncodingSet is a set of encodings, one bit each.
type EncodingSet uint32

// Has reports whether e is in the set.
func (s EncodingSet) Has(e Encoding) bool { return s&(1<<e) != 0 }

// Add adds e to the set.
func (s *EncodingSet) Add(e Encoding) { *s |= 1 << e }

// All walks the set.
func (s EncodingSet) All(yield func(Encoding) bool) {
	for ; s != 0; s &= s - 1 {
		if !yield(Encoding(bits.TrailingZeros32(uint32(s)))) {
			return
		}
	}
}
