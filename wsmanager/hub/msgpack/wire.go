package msgpack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// kind is the type of an encoded value.
type kind uint8

const (
	kindNil kind = iota
	kindBool
	kindInt
	kindFloat
	kindString
	kindBinary
	kindExtension
	kindArray
	kindMap
)

// String returns the name of the kind for the text of an error.
func (k kind) String() string {
	return [...]string{"nil", "a boolean", "an integer", "a float", "a string", "binary data", "an extension", "an array", "a map"}[k]
}

// header is the start of a value. A value of fixed size has nothing else.
type header struct {
	kind     kind
	negative bool   // for kindInt: n is a negative int64
	n        uint64 // number of bytes, elements or pairs that follow; or the value of an integer or a boolean
}

// maxDepth limits the nesting of arrays and maps, because decoding recurses.
const maxDepth = 1000

var (
	errTruncated = errors.New("a value is shorter than its length")
	errTooDeep   = errors.New("arrays and maps are nested too deeply")
)

// readHeader reads a header. Its length may be false, unless skip has checked the value.
func readHeader(p []byte) (h header, rest []byte, err error) {
	if len(p) == 0 {
		return h, nil, errTruncated
	}
	b := p[0]
	p = p[1:]
	switch {
	case b <= 0x7f:
		return header{kind: kindInt, n: uint64(b)}, p, nil
	case b <= 0x8f:
		return header{kind: kindMap, n: uint64(b & 0x0f)}, p, nil
	case b <= 0x9f:
		return header{kind: kindArray, n: uint64(b & 0x0f)}, p, nil
	case b <= 0xbf:
		return header{kind: kindString, n: uint64(b & 0x1f)}, p, nil
	case b >= 0xe0:
		return header{kind: kindInt, negative: true, n: uint64(int64(int8(b)))}, p, nil
	}
	width := 0 // bytes of the number after the first byte
	switch b {
	case 0xc0:
		h.kind = kindNil
	case 0xc2, 0xc3:
		h.kind, h.n = kindBool, uint64(b&1)
	case 0xc4, 0xc5, 0xc6:
		h.kind, width = kindBinary, 1<<(b-0xc4)
	case 0xc7, 0xc8, 0xc9:
		h.kind, width = kindExtension, 1<<(b-0xc7)
	case 0xca, 0xcb:
		h.kind, width = kindFloat, 4<<(b-0xca)
	case 0xcc, 0xcd, 0xce, 0xcf:
		h.kind, width = kindInt, 1<<(b-0xcc)
	case 0xd0, 0xd1, 0xd2, 0xd3:
		h.kind, width = kindInt, 1<<(b-0xd0)
	case 0xd4, 0xd5, 0xd6, 0xd7, 0xd8:
		h.kind, h.n = kindExtension, 1<<(b-0xd4)
	case 0xd9, 0xda, 0xdb:
		h.kind, width = kindString, 1<<(b-0xd9)
	case 0xdc, 0xdd:
		h.kind, width = kindArray, 2<<(b-0xdc)
	case 0xde, 0xdf:
		h.kind, width = kindMap, 2<<(b-0xde)
	default: // 0xc1
		return h, nil, fmt.Errorf("a value cannot begin with the byte %#x", b)
	}
	if len(p) < width {
		return h, nil, errTruncated
	}
	switch width {
	case 1:
		h.n = uint64(p[0])
	case 2:
		h.n = uint64(binary.BigEndian.Uint16(p))
	case 4:
		h.n = uint64(binary.BigEndian.Uint32(p))
	case 8:
		h.n = binary.BigEndian.Uint64(p)
	}
	if b >= 0xd0 && b <= 0xd3 {
		shift := 64 - 8*width
		i := int64(h.n<<shift) >> shift
		h.n, h.negative = uint64(i), i < 0
	}
	if h.kind == kindExtension {
		h.n++ // the byte of the extension type
	}
	return h, p[width:], nil
}

// skipAny checks all lengths in a value of any depth and returns the data after it.
func skipAny(p []byte) (rest []byte, err error) {
	for left := uint64(1); left > 0; {
		left--
		var h header
		if h, p, err = readHeader(p); err != nil {
			return nil, err
		}
		switch h.kind {
		case kindString, kindBinary, kindExtension:
			if h.n > uint64(len(p)) {
				return nil, errTruncated
			}
			p = p[h.n:]
		case kindArray:
			left += h.n
		case kindMap:
			left += 2 * h.n
		}
		if left > uint64(len(p)) { // each value has at least one byte
			return nil, errTruncated
		}
	}
	return p, nil
}

// skip is skipAny for a value that will be decoded: deep nesting is an error. It does not recurse.
func skip(p []byte) (rest []byte, err error) {
	var buf [16]uint64 // avoids an allocation for usual values
	open := buf[:0]    // for each enclosing array or map: the number of values after the present one
	left := uint64(1)
	for {
		for left == 0 {
			if len(open) == 0 {
				return p, nil
			}
			left, open = open[len(open)-1], open[:len(open)-1]
		}
		left--
		var h header
		if h, p, err = readHeader(p); err != nil {
			return nil, err
		}
		contained := uint64(0)
		switch h.kind {
		case kindString, kindBinary, kindExtension:
			if h.n > uint64(len(p)) {
				return nil, errTruncated
			}
			p = p[h.n:]
		case kindArray:
			contained = h.n
		case kindMap:
			contained = 2 * h.n
		}
		if contained > uint64(len(p)) { // each value has at least one byte
			return nil, errTruncated
		}
		if contained > 0 {
			if len(open) == maxDepth {
				return nil, errTooDeep
			}
			open = append(open, left)
			left = contained
		}
	}
}

func appendArray(dst []byte, n int) []byte {
	switch {
	case n < 16:
		return append(dst, 0x90|byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, 0xdc), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, 0xdd), uint32(n))
}

func appendString(dst []byte, s string) []byte {
	switch n := len(s); {
	case n < 32:
		dst = append(dst, 0xa0|byte(n))
	case n <= math.MaxUint8:
		dst = append(dst, 0xd9, byte(n))
	case n <= math.MaxUint16:
		dst = binary.BigEndian.AppendUint16(append(dst, 0xda), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint32(append(dst, 0xdb), uint32(n))
	}
	return append(dst, s...)
}

// appendInt appends the shortest form of a number, as Microsoft's clients do.
func appendInt(dst []byte, i int64) []byte {
	switch {
	case i < 0: // does not occur in messages, so the shortest form is not needed
		return binary.BigEndian.AppendUint64(append(dst, 0xd3), uint64(i))
	case i <= 0x7f:
		return append(dst, byte(i))
	case i <= math.MaxUint8:
		return append(dst, 0xcc, byte(i))
	case i <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, 0xcd), uint16(i))
	case i <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, 0xce), uint32(i))
	}
	return binary.BigEndian.AppendUint64(append(dst, 0xcf), uint64(i))
}
