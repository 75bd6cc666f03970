package wsmanager

import "sync/atomic"

// reception says in which encoding a connection gets messages, and whether it gets
// broadcasts. It is read without a lock and changes under Conn.mu.
type reception struct{ bits atomic.Uint32 }

// The parts of reception.bits.
const (
	encodingBits = 1<<8 - 1 // encoding + 1; 0 until the connection is ready
	closingBit   = 1 << 8   // lifecycle.state is not stateOpen
	receivingBit = 1 << 9   // the connection gets broadcasts to all: see recipient.receiving
	carrierBit   = 1 << 10  // see Carry
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

// awaitsReady reports whether the connection has to become ready in time.
func (r *reception) awaitsReady() bool { return r.bits.Load()&(encodingBits|carrierBit) == 0 }

func (r *reception) isClosing() bool { return r.bits.Load()&closingBit != 0 }
func (r *reception) isCarrier() bool { return r.bits.Load()&carrierBit != 0 }
func (r *reception) markCarrier()    { r.bits.Or(carrierBit) }
func (r *reception) markClosing()    { r.bits.Or(closingBit) }
