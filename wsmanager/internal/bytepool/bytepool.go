package bytepool

import (
	"math/bits"
	"sync"
	"unsafe"
)

// Four sizes per power of two, so that at most a quarter of a slice is more than was wanted.
const (
	minBits = 9  // of the smallest size, 512
	maxBits = 20 // of the biggest size, 1 MiB
	classes = (maxBits-minBits)*4 + 1
)

// MaxSize is the length of the longest slices that are pooled.
const MaxSize = 1 << maxBits

// pools have pointers to the first bytes, because a slice in an interface would be allocated.
var pools [classes]sync.Pool

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
	if p, ok := pools[class].Get().(*byte); ok {
		return unsafe.Slice(p, sizeOf(class))[:0]
	}
	return make([]byte, 0, sizeOf(class))
}

// Put gives back a slice that Get has returned, or one with the same first byte and the same
// capacity. Slices of other capacities are left to the garbage collector.
func Put(p []byte) {
	n := cap(p)
	if n < 1<<minBits || n > MaxSize {
		return
	}
	if class := classOf(n); sizeOf(class) == n {
		pools[class].Put(unsafe.SliceData(p))
	}
}

// Grow returns a slice with the content of p, and room for need bytes in all. p is nil or
// from Get or Grow, and must not be used afterwards. The capacity grows with need, so that the
// time of many calls is proportional to the bytes that are added, but not beyond most, rounded
// up to a size of Get.
func Grow(p []byte, need, most int) []byte {
	extra := need + need/2
	if need <= 64<<10 {
		extra = 3 * need
	}
	grown := append(Get(need+max(0, min(extra, most-need))), p...)
	Put(p)
	return grown
}
