package mpack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// Kind is the type of an encoded value.
type Kind uint8

// The kinds of values.
const (
	Nil Kind = iota
	Bool
	Int
	Float
	String
	Binary
	Extension
	Array
	Map
)

// String returns the name of the kind for the text of an error.
func (k Kind) String() string {
	return [...]string{"nil", "a boolean", "an integer", "a float", "a string", "binary data", "an extension", "an array", "a map"}[k]
}

// Header is the start of a value. For a value of fixed size it is the whole value.
type Header struct {
	Kind     Kind
	Negative bool   // for Int: N is a negative int64
	Single   bool   // for Float: N has the bits of a float32
	N        uint64 // number of bytes, elements or pairs that follow; or the value of a number or a boolean
}

// Float returns the value of a Float.
func (h Header) Float() float64 {
	if h.Single {
		return float64(math.Float32frombits(uint32(h.N)))
	}
	return math.Float64frombits(h.N)
}

// ErrTruncated means that a value is longer than the data.
var ErrTruncated = errors.New("a value is shorter than its length")

// Read reads the header of a value. The bytes that follow a String, Binary or Extension are in rest; the first byte of an
// Extension, which N includes, is its type. N of an Array or a Map may be larger than the data.
func Read(p []byte) (h Header, rest []byte, err error) {
	if len(p) == 0 {
		return h, nil, ErrTruncated
	}
	b := p[0]
	p = p[1:]
	switch {
	case b <= 0x7f:
		return Header{Kind: Int, N: uint64(b)}, p, nil
	case b <= 0x8f:
		return Header{Kind: Map, N: uint64(b & 0x0f)}, p, nil
	case b <= 0x9f:
		return Header{Kind: Array, N: uint64(b & 0x0f)}, p, nil
	case b <= 0xbf:
		h = Header{Kind: String, N: uint64(b & 0x1f)}
	case b >= 0xe0:
		return Header{Kind: Int, Negative: true, N: uint64(int64(int8(b)))}, p, nil
	default:
		if h, p, err = readLong(b, p); err != nil {
			return h, nil, err
		}
	}
	if (h.Kind == String || h.Kind == Binary || h.Kind == Extension) && h.N > uint64(len(p)) {
		return h, nil, ErrTruncated
	}
	return h, p, nil
}

// readLong reads a header that begins with a byte from 0xc0 to 0xdf.
func readLong(b byte, p []byte) (h Header, rest []byte, err error) {
	width := 0 // bytes of the number after the first byte
	switch b {
	case 0xc0:
		h.Kind = Nil
	case 0xc2, 0xc3:
		h.Kind, h.N = Bool, uint64(b&1)
	case 0xc4, 0xc5, 0xc6:
		h.Kind, width = Binary, 1<<(b-0xc4)
	case 0xc7, 0xc8, 0xc9:
		h.Kind, width = Extension, 1<<(b-0xc7)
	case 0xca, 0xcb:
		h.Kind, h.Single, width = Float, b == 0xca, 4<<(b-0xca)
	case 0xcc, 0xcd, 0xce, 0xcf:
		h.Kind, width = Int, 1<<(b-0xcc)
	case 0xd0, 0xd1, 0xd2, 0xd3:
		h.Kind, width = Int, 1<<(b-0xd0)
	case 0xd4, 0xd5, 0xd6, 0xd7, 0xd8:
		h.Kind, h.N = Extension, 1<<(b-0xd4)
	case 0xd9, 0xda, 0xdb:
		h.Kind, width = String, 1<<(b-0xd9)
	case 0xdc, 0xdd:
		h.Kind, width = Array, 2<<(b-0xdc)
	case 0xde, 0xdf:
		h.Kind, width = Map, 2<<(b-0xde)
	default: // 0xc1
		return h, nil, fmt.Errorf("a value cannot begin with the byte %#x", b)
	}
	if len(p) < width {
		return h, nil, ErrTruncated
	}
	switch width {
	case 1:
		h.N = uint64(p[0])
	case 2:
		h.N = uint64(binary.BigEndian.Uint16(p))
	case 4:
		h.N = uint64(binary.BigEndian.Uint32(p))
	case 8:
		h.N = binary.BigEndian.Uint64(p)
	}
	if b >= 0xd0 && b <= 0xd3 {
		shift := 64 - 8*width
		i := int64(h.N<<shift) >> shift
		h.N, h.Negative = uint64(i), i < 0
	}
	if h.Kind == Extension {
		h.N++ // the byte of the extension type
	}
	return h, p[width:], nil
}

// Skip returns the data after a value. It does not recurse.
func Skip(p []byte) (rest []byte, err error) {
	for left := uint64(1); left > 0; left-- {
		var h Header
		if h, p, err = Read(p); err != nil {
			return nil, err
		}
		switch h.Kind {
		case String, Binary, Extension:
			p = p[h.N:]
		case Array:
			left += h.N
		case Map:
			left += 2 * h.N
		}
		if left-1 > uint64(len(p)) { // each value has at least one byte
			return nil, ErrTruncated
		}
	}
	return p, nil
}

// timestamp is the type of the extension that holds a point in time.
const timestamp = -1

// The range of time.Time in RFC 3339, in seconds since 1970: the years 0 to 9999.
const (
	minSecond = -62167219200
	maxSecond = 253402300799
)

// Time decodes the N bytes of an Extension that is a timestamp, in the years 0 to 9999, which RFC 3339 can express.
func Time(ext []byte) (time.Time, error) {
	if int8(ext[0]) != timestamp {
		return time.Time{}, fmt.Errorf("unknown extension type %d", int8(ext[0]))
	}
	var seconds int64
	var nanoseconds uint32
	switch b := ext[1:]; len(b) {
	case 4:
		seconds = int64(binary.BigEndian.Uint32(b))
	case 8:
		n := binary.BigEndian.Uint64(b)
		nanoseconds, seconds = uint32(n>>34), int64(n&(1<<34-1))
	case 12:
		nanoseconds, seconds = binary.BigEndian.Uint32(b), int64(binary.BigEndian.Uint64(b[4:]))
	default:
		return time.Time{}, fmt.Errorf("a timestamp of %d bytes", len(b))
	}
	if nanoseconds > 999_999_999 || seconds < minSecond || seconds > maxSecond {
		return time.Time{}, errors.New("a timestamp outside of the years 0 to 9999")
	}
	return time.Unix(seconds, int64(nanoseconds)).UTC(), nil
}
