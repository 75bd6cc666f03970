package hub

import (
	"math/bits"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// The sizes of objects that each connection or each call has, on 64 bits: those of classes of the allocator. Above 512 bytes an
// object takes at least 64 bytes more.
func TestSizes(t *testing.T) {
	if bits.UintSize != 64 {
		t.Skip("sizes are those of 64 bits")
	}
	require.LessOrEqual(t, unsafe.Sizeof(conn{}), uintptr(512))
	require.LessOrEqual(t, unsafe.Sizeof(serverSocket{}), uintptr(48))
	require.LessOrEqual(t, unsafe.Sizeof(call{}), uintptr(352))
}
