//go:build linux

package evloop_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// A frame consists of its length, the client's number, its own number, and padding that is
// derived from both numbers.
const frameHeader = 4 + 8 + 4

func appendFrame(p []byte, id uint64, seq uint32, size int) []byte {
	p = binary.LittleEndian.AppendUint32(p, uint32(frameHeader+size))
	p = binary.LittleEndian.AppendUint64(p, id)
	p = binary.LittleEndian.AppendUint32(p, seq)
	for range size {
		p = append(p, byte(id)^byte(seq))
	}
	return p
}

// takeFrame checks the first frame of p and returns the rest. ok is false if p holds less
// than a frame.
func takeFrame(p []byte, id uint64, seq uint32) (rest []byte, ok bool, err error) {
	if len(p) < frameHeader {
		return p, false, nil
	}
	size := int(binary.LittleEndian.Uint32(p))
	gotID, gotSeq := binary.LittleEndian.Uint64(p[4:]), binary.LittleEndian.Uint32(p[12:])
	if size < frameHeader || size > 1<<20 || gotID != id || gotSeq != seq {
		return p, false, fmt.Errorf("client %d, frame %d: got client %d, frame %d, %d bytes", id, seq, gotID, gotSeq, size)
	}
	if len(p) < size {
		return p, false, nil
	}
	if fill := p[frameHeader:size]; len(bytes.Trim(fill, string([]byte{byte(id) ^ byte(seq)}))) > 0 {
		return p, false, fmt.Errorf("client %d, frame %d: wrong filling", id, seq)
	}
	return p[size:], true, nil
}
