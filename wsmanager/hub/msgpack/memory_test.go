package msgpack_test

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

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
