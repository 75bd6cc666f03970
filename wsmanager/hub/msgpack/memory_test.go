package msgpack_test

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// Elements that are encoded in a byte or two must not make the decoder allocate many large structs.
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
	type pointers struct {
		P *large
		Q **large
	}
	type embedded struct{ *large }
	type list struct {
		Next *list
		Pad  [8192]byte
	}
	nested := func(n int, start, end string) []byte {
		return append(bytes.Repeat(unhex(t, start), n), unhex(t, end)...)
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
		"pointers in structs":    {array(n/4, "81a15080"), new([]pointers), false},
		"pointers to pointers":   {array(n/4, "81a15180"), new([]pointers), false},
		"embedded pointers":      {array(n/4, "81a14e01"), new([]embedded), false},
		"a nested list":          {nested(900, "81a44e657874", "c0"), new(list), false},
		"nested arrays":          {array(n/3, "91c0"), new([][]large), false},
		"arrays in structs":      {append(unhex(t, "81a141"), array(n, "c0")...), new(struct{ A []large }), false},
		"maps in any":            {array(n/3, "81a000"), new(any), bits.UintSize == 32},
		"nested maps in any":     {nested(900, "81a0", "c0"), new(any), true},
		"an extension for a map": {unhex(t, "c705dfffffffff"), new(map[string]large), false},
		"pointers, few":          {array(100, "81a15080"), new([]pointers), true},
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
				require.Error(t, err)
				if row.raw[0] != 0xc7 {
					require.ErrorIs(t, err, hub.ErrValueTooLarge)
				}
				require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<10))
			}
		})
	}
}
