package bytepool_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/bytepool"
)

func TestSizes(t *testing.T) {
	for n := 0; n < 10_000; n++ {
		checkSize(t, n)
	}
	for n := 10_000; n <= bytepool.MaxSize; n += n / 100 {
		checkSize(t, n)
	}
	for n := 512; n <= bytepool.MaxSize; n *= 2 {
		p := bytepool.Get(n)
		require.Equal(t, n, cap(p), "a power of two is a size")
		bytepool.Put(p)
	}
}

func checkSize(t *testing.T, n int) {
	t.Helper()
	p := bytepool.Get(n)
	require.Empty(t, p)
	require.GreaterOrEqual(t, cap(p), n)
	if n > 512 {
		require.LessOrEqual(t, cap(p), n+n/4)
	}
	bytepool.Put(p)
}

func TestTooBigForAPool(t *testing.T) {
	p := bytepool.Get(bytepool.MaxSize + 1)
	require.Equal(t, bytepool.MaxSize+1, cap(p))
	bytepool.Put(p)
}

// A slice of another origin can't become one of a size that it does not have.
func TestPutOfOtherSlices(t *testing.T) {
	for _, n := range []int{0, 1, 511, 513, 1000, 1<<20 + 1} {
		bytepool.Put(make([]byte, n))
	}
	for n := 1; n < 2000; n++ {
		p := bytepool.Get(n)
		clear(p[:cap(p)])
	}
}
