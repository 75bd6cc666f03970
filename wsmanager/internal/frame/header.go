package frame

import (
	"encoding/binary"
	"errors"

	"github.com/gobwas/ws"
)

var (
	errLengthNotMinimal = errors.New("the payload length is not in its shortest form")
	errLengthTopBit     = errors.New("the payload length has its top bit set")
)

// parseHeader reads a frame header (RFC 6455, section 5.2) from the start of p. It
// returns the length of the header, or 0 if p is too short for all of it. h then holds
// the fields known so far, so that a check can fail at the first bad byte; Masked and
// Length have values of a valid header until they are known.
func parseHeader(p []byte, masked bool) (h ws.Header, n int, err error) {
	h.Masked = masked
	if len(p) < 1 {
		return h, 0, nil
	}
	h.Fin = p[0]&0x80 != 0
	h.Rsv = p[0] >> 4 & 0x7
	h.OpCode = ws.OpCode(p[0] & 0xf)
	if len(p) < 2 {
		return h, 0, nil
	}
	h.Masked = p[1]&0x80 != 0
	n = 2
	switch length := p[1] & 0x7f; length {
	case 126:
		n += 2
		h.Length = 126 // at least
		if len(p) < n {
			return h, 0, nil
		}
		h.Length = int64(binary.BigEndian.Uint16(p[2:]))
		if h.Length < 126 {
			return h, 0, errLengthNotMinimal
		}
	case 127:
		n += 8
		h.Length = 1 << 16 // at least
		if len(p) < n {
			return h, 0, nil
		}
		u := binary.BigEndian.Uint64(p[2:])
		switch {
		case u>>63 != 0:
			return h, 0, errLengthTopBit
		case u < 1<<16:
			return h, 0, errLengthNotMinimal
		}
		h.Length = int64(u)
	default:
		h.Length = int64(length)
	}
	if h.Masked {
		if len(p) < n+4 {
			return h, 0, nil
		}
		copy(h.Mask[:], p[n:])
		n += 4
	}
	return h, n, nil
}

// Append appends an unmasked, final frame to dst.
func Append(dst []byte, op ws.OpCode, payload []byte) []byte {
	return append(AppendHeader(dst, op, len(payload)), payload...)
}

// AppendHeader appends the header of an unmasked, final frame with a payload of n bytes to dst.
func AppendHeader(dst []byte, op ws.OpCode, n int) []byte {
	dst = append(dst, 0x80|byte(op))
	switch {
	case n < 126:
		dst = append(dst, byte(n))
	case n < 1<<16:
		dst = append(dst, 126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	default:
		dst = append(dst, 127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	return dst
}

// Size returns the length of a frame of [Append] with a payload of that many bytes.
func Size(payload int) int {
	return payload + ws.HeaderSize(ws.Header{Length: int64(payload)})
}

// PayloadSize returns the length of the payload of a frame of [Append].
func PayloadSize(frame []byte) int {
	switch frame[1] {
	case 126:
		return len(frame) - 4
	case 127:
		return len(frame) - 10
	}
	return len(frame) - 2
}
