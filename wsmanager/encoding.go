package wsmanager

import (
	"math/bits"
	"sync/atomic"
)

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

// reception says in which encoding a connection gets messages, and whether it gets
// broadcasts. It is read without a lock and changes under Conn.mu.
type reception struct{ bits atomic.Uint32 }

// The parts of reception.bits.
const (
	encodingBits = 1<<8 - 1 // encoding + 1; 0 until the connection is ready
	closingBit   = 1 << 8   // Conn.state is not stateOpen
	receivingBit = 1 << 9   // the connection gets broadcasts to all: see recipient.receiving
)

// encoding returns the connection's encoding; false until the connection is ready.
func (r *reception) encoding() (encoding, bool) {
	e := r.bits.Load() & encodingBits
	return encoding(e - 1), e != 0
}

// receiving returns the connection's encoding; false if it gets no broadcasts.
func (r *reception) receiving() (encoding, bool) {
	v := r.bits.Load()
	return encoding(v&encodingBits - 1), v&receivingBit != 0
}

func (r *reception) setReceiving(on bool) {
	if on {
		r.bits.Or(receivingBit)
	} else {
		r.bits.And(^uint32(receivingBit))
	}
}

func (r *reception) setEncoding(e encoding) { r.bits.Or(uint32(e) + 1) }
func (r *reception) isReady() bool          { return r.bits.Load()&encodingBits != 0 }
func (r *reception) isClosing() bool        { return r.bits.Load()&closingBit != 0 }
func (r *reception) markClosing()           { r.bits.Or(closingBit) }
