package wsmanager

import "math/bits"

// Variant is one of several formats of the messages to the connections of a Manager, for
// example JSON and MessagePack in a hub. The application gives each number its meaning.
// Without variants all connections have 0. A connection's variant is set once, by
// Accept.Variant or [Conn.Ready], before the first broadcast reaches it.
type Variant uint8

// MaxVariants is the number of variants: 0 to MaxVariants-1.
const MaxVariants = 8

// encoding is the form in which a connection gets messages that are sent to many: its
// variant, and whether it has agreed on compression.
type encoding uint8

const (
	encodings = 2 * MaxVariants

	// compressedEncodings has the bits of the encodings with compression: the odd ones.
	compressedEncodings = 0xAAAA
)

func encodingOf(v Variant, deflate bool) encoding {
	e := encoding(v) << 1
	if deflate {
		e |= 1
	}
	return e
}

func (e encoding) variant() Variant { return Variant(e >> 1) }
func (e encoding) deflate() bool    { return e&1 != 0 }

// encodingSet is a set of encodings, one bit each.
type encodingSet uint32

func (s encodingSet) has(e encoding) bool { return s&(1<<e) != 0 }

// all walks the set.
func (s encodingSet) all(yield func(encoding) bool) {
	for ; s != 0; s &= s - 1 {
		if !yield(encoding(bits.TrailingZeros32(uint32(s)))) {
			return
		}
	}
}
