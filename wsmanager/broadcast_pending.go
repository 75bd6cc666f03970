package wsmanager

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// pendingSets tells which groups and users may have pending broadcasts, without looking
// at each set. A set has one of 64 bits, from the hash of its name.
type pendingSets struct {
	once  atomic.Uint64 // bits of sets with pending broadcasts
	twice atomic.Uint64 // bits of two or more such sets

	mu     sync.Mutex // guards counts and changes of the bits
	counts [64]int32
}

// add counts a set with pending broadcasts. bit 0 means the set of all connections, which
// is not counted.
func (p *pendingSets) add(bit uint64) { p.change(bit, +1) }

// remove ends what add has begun.
func (p *pendingSets) remove(bit uint64) { p.change(bit, -1) }

func (p *pendingSets) change(bit uint64, by int32) {
	if bit == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	n := &p.counts[bits.TrailingZeros64(bit)]
	*n += by
	setBit(&p.once, bit, *n > 0)
	setBit(&p.twice, bit, *n > 1)
}

// inAny reports whether one of the sets with these bits may have pending broadcasts.
func (p *pendingSets) inAny(bits uint64) bool { return bits&p.once.Load() != 0 }

// inOthers is inAny without the set that has the bit own.
func (p *pendingSets) inOthers(bits, own uint64) bool {
	others := p.once.Load()&^own | p.twice.Load()&own
	return bits&others != 0
}

func setBit(word *atomic.Uint64, bit uint64, on bool) {
	if on {
		word.Or(bit)
	} else {
		word.And(^bit)
	}
}
