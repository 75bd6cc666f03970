package wsmanager

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// pendingSets tells in which groups and users broadcasts may be pending, without a look
// at each: a set has one of 64 bits, by the hash of its name.
type pendingSets struct {
	once  atomic.Uint64 // bits of sets with pending broadcasts
	twice atomic.Uint64 // bits that two such sets share, or more

	mu     sync.Mutex // guards counts and changes of the bits
	counts [64]int32
}

// add notes that a set with the bit has pending broadcasts; 0 is none.
func (p *pendingSets) add(bit uint64) { p.change(bit, +1) }

// remove notes that it has none any more.
func (p *pendingSets) remove(bit uint64) { p.change(bit, -1) }

func (p *pendingSets) change(bit uint64, by int32) {
	if bit == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	n := &p.counts[bits.TrailingZeros64(bit)]
	*n += by
	set(&p.once, bit, *n > 0)
	set(&p.twice, bit, *n > 1)
}

func set(word *atomic.Uint64, bit uint64, on bool) {
	if on {
		word.Or(bit)
	} else {
		word.And(^bit)
	}
}
