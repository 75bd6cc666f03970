package broadcast

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// pendingSets tells which groups and users may have pending broadcasts, so that a connection
// need not check each of its sets. A set has one of 64 bits, from the hash of its name.
type pendingSets struct {
	some    atomic.Uint64 // bits that at least one set with pending broadcasts has
	several atomic.Uint64 // bits that at least two sets with pending broadcasts have

	mu     sync.Mutex // guards counts and changes of the bits
	counts [64]int32  // for each bit, the number of sets with pending broadcasts
}

// add counts a set with pending broadcasts. bit 0 means the set of all connections, which
// is not counted.
func (p *pendingSets) add(bit uint64) { p.change(bit, +1) }

// remove takes back one add.
func (p *pendingSets) remove(bit uint64) { p.change(bit, -1) }

func (p *pendingSets) change(bit uint64, by int32) {
	if bit == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	n := &p.counts[bits.TrailingZeros64(bit)]
	*n += by
	setBit(&p.some, bit, *n > 0)
	setBit(&p.several, bit, *n > 1)
}

// inAny reports whether one of the sets with these bits may have pending broadcasts.
func (p *pendingSets) inAny(bits uint64) bool { return bits&p.some.Load() != 0 }

// inOthers is inAny without the set that has the bit own.
func (p *pendingSets) inOthers(bits, own uint64) bool {
	others := p.some.Load()&^own | p.several.Load()&own
	return bits&others != 0
}

func setBit(word *atomic.Uint64, bit uint64, on bool) {
	if on {
		word.Or(bit)
	} else {
		word.And(^bit)
	}
}
