package bytepool

import (
	"math/bits"
	"sync"
	"unsafe"
	"weak"
)

// Four sizes per power of two, so that at most a quarter of a slice is more than was wanted.
const (
	minBits = 9  // of the smallest size, 512
	bigBits = 20 // of the biggest size in a sync.Pool, 1 MiB
	maxBits = 26 // of the biggest size, 64 MiB
	classes = (maxBits-minBits)*4 + 1
	small   = (bigBits-minBits)*4 + 1
)

// MaxSize is the length of the longest slices that are pooled.
const MaxSize = 1 << maxBits

// pools have pointers to the first bytes, because a slice in an interface would be allocated.
var pools [small]sync.Pool

// big has the classes above those of pools. A sync.Pool keeps its content through a
// collection, for each processor, which would multiply the memory of big messages.
var big [classes - small]weakPool

// weakPool has slices that the next collection frees.
type weakPool struct {
	mu   sync.Mutex // guards free
	free []weak.Pointer[byte]
}

// maxFree bounds the list of a weakPool.
const maxFree = 16

func (p *weakPool) get() *byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := len(p.free); n > 0; n = len(p.free) {
		first := p.free[n-1].Value()
		p.free = p.free[:n-1]
		if first != nil {
			return first
		}
	}
	return nil
}

func (p *weakPool) put(first *byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) < maxFree {
		p.free = append(p.free, weak.Make(first))
	}
}

// classOf returns the smallest class with slices of at least n bytes; n is at most MaxSize.
func classOf(n int) int {
	if n <= 1<<minBits {
		return 0
	}
	b := bits.Len(uint(n-1)) - 1 // 1<<b < n <= 1<<(b+1)
	quarter := (n - 1) >> (b - 2) & 3
	return (b-minBits)*4 + quarter + 1
}

// sizeOf returns the length of the slices of a class.
func sizeOf(class int) int {
	return (4 + class&3) << (minBits + class>>2) >> 2
}

// Get returns an empty slice with a capacity of at least n.
func Get(n int) []byte {
	if n > MaxSize {
		return make([]byte, 0, n)
	}
	class := classOf(n)
	var first *byte
	if class >= small {
		first = big[class-small].get()
	} else {
		first, _ = pools[class].Get().(*byte)
	}
	if first == nil {
		return make([]byte, 0, sizeOf(class))
	}
	return unsafe.Slice(first, sizeOf(class))[:0]
}

// Put gives back a slice of Get, or one with the same first byte and capacity. Slices of other
// capacities are left to the garbage collector.
func Put(p []byte) {
	n := cap(p)
	if n < 1<<minBits || n > MaxSize {
		return
	}
	class := classOf(n)
	switch {
	case sizeOf(class) != n:
	case class >= small:
		big[class-small].put(unsafe.SliceData(p))
	default:
		pools[class].Put(unsafe.SliceData(p))
	}
}

// Grow returns a slice with the content of p and a capacity of at least n. p is nil or from Get
// or Grow, and must not be used afterwards.
func Grow(p []byte, n int) []byte {
	grown := append(Get(n), p...)
	Put(p)
	return grown
}
