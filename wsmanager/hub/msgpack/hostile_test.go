package msgpack_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// Panics of the library are returned as errors.
func TestPanicsAreErrors(t *testing.T) {
	var m map[any]any
	require.Error(t, protocol.Decode(unhex(t, "819001"), &m)) // an array as a key
	var u uintptr
	require.Error(t, protocol.Decode(unhex(t, "01"), &u))
	require.Error(t, protocol.Decode(unhex(t, "01"), u))
	require.Error(t, protocol.Decode(unhex(t, "01"), nil))
	require.Error(t, protocol.Decode(unhex(t, "0101"), new(int)))
	require.Error(t, protocol.Decode(nil, new(int)))
	_, err := protocol.Encode(func() {})
	require.Error(t, err)
	_, err = protocol.Encode(struct{ C chan int }{make(chan int)})
	require.Error(t, err)
	_, err = protocol.Encode(uintptr(1))
	require.Error(t, err)
}

// False lengths cost no memory.
func TestFalseLengthsAllocateNothing(t *testing.T) {
	for _, first := range []byte{0xc6, 0xc9, 0xdb, 0xdd, 0xdf} {
		value := binary.BigEndian.AppendUint32([]byte{first}, math.MaxUint32)
		record := append(unhex(t, "950180c0a14191"), value...)
		const times = 100
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range times {
			_, _ = protocol.Parse(record)
			var v any
			_ = protocol.Decode(value, &v)
		}
		runtime.ReadMemStats(&after)
		require.Less(t, (after.TotalAlloc-before.TotalAlloc)/times, uint64(4<<10), "%x", first)
	}
}

// Elements that are encoded in a byte or two must not make the library allocate many large structs.
func TestShortElementsAllocateLittle(t *testing.T) {
	type large struct {
		Text [100]string
		N    int
	}
	type node struct {
		Next     *node
		Children []node
		Block    [1000]byte
	}
	array := func(n int, element string) []byte {
		return append(binary.BigEndian.AppendUint16([]byte{0xdc}, uint16(n)), bytes.Repeat(unhex(t, element), n)...)
	}
	many := func(n int, element string) []byte {
		return append(binary.BigEndian.AppendUint16([]byte{0xde}, uint16(n)), bytes.Repeat(unhex(t, element), n)...)
	}
	const n = 30_000
	for name, row := range map[string]struct {
		raw    []byte
		target any
		fits   bool
	}{
		"nil":                    {array(n, "c0"), new([]large), false},
		"empty maps":             {array(n, "80"), new([]large), false},
		"empty maps, by pointer": {array(n, "80"), new([]*large), false},
		"nil pointers":           {array(n, "c0"), new([]*large), true},
		"short maps":             {array(n/4, "81a14e01"), new([]large), false},
		"arrays":                 {array(n, "c0"), new([][1000]byte), false},
		"nodes":                  {array(n, "c0"), new([]node), false},
		"nested nodes":           {append(unhex(t, "81a84368696c6472656e"), array(n, "c0")...), new(node), false},
		"values of maps":         {many(n/8, "cd0001c0"), new(map[int]large), false},
		"few nil":                {array(100, "c0"), new([]large), true},
		"few short maps":         {array(300, "81a14e01"), new([]large), true},
		"small structs":          {array(n, "c0"), new([]struct{ A, B, C int64 }), true},
		"numbers":                {array(n, "01"), new([]int), true},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := protocol.Decode(row.raw, row.target)
			runtime.ReadMemStats(&after)
			if row.fits {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, "memory")
				require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<10))
			}
		})
	}
}
