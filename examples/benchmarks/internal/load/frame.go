package load

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/gobwas/ws"
)

// mask is that of all frames. A client should take another for each; to a server they
// are alike, and so a frame is made once.
var mask = [4]byte{0xa5, 0x3c, 0x96, 0x1b}

// message is a frame to send again and again, with another number each time.
type message struct {
	frame   []byte // masked
	payload []byte // not masked
	at      int    // where in frame the payload begins
}

// numberSize is what of a payload is its number.
const numberSize = 8

func newMessage(size int) *message {
	m := &message{payload: make([]byte, size)}
	for i := range m.payload {
		m.payload[i] = byte(i)
	}
	f := ws.MaskFrameWith(ws.NewBinaryFrame(m.payload), mask)
	m.frame = ws.MustCompileFrame(f)
	m.at = len(m.frame) - size
	return m
}

// numbered is the frame with the number, until the next call.
func (m *message) numbered(n uint64) []byte {
	wide := uint64(binary.LittleEndian.Uint32(mask[:]))
	binary.LittleEndian.PutUint64(m.frame[m.at:], n^(wide|wide<<32))
	return m.frame
}

// check says how p differs from the message with the number.
func (m *message) check(p []byte, n uint64) error {
	if len(p) != len(m.payload) {
		return fmt.Errorf("a message of %d bytes, want %d", len(p), len(m.payload))
	}
	if got := binary.LittleEndian.Uint64(p); got != n {
		return fmt.Errorf("message %d, want %d", got, n)
	}
	if !bytes.Equal(p[numberSize:], m.payload[numberSize:]) {
		return fmt.Errorf("message %d has other bytes than were sent", n)
	}
	return nil
}

var errFrame = errors.New("a frame that is masked, in fragments, extended or too big")

// readSize is what one read takes at most.
const readSize = 1 << 20

// Next splits the first frame of a server's off p; length is 0 if p does not hold all of
// it.
func Next(p []byte) (op ws.OpCode, payload []byte, length int, err error) {
	if len(p) < 2 {
		return 0, nil, 0, nil
	}
	header, size := 2, uint64(p[1])
	if p[0]&0xf0 != 0x80 || size > 127 {
		return 0, nil, 0, errFrame
	}
	switch {
	case size == 126 && len(p) >= 4:
		header, size = 4, uint64(binary.BigEndian.Uint16(p[2:]))
	case size == 127 && len(p) >= 10:
		header, size = 10, binary.BigEndian.Uint64(p[2:])
	case size >= 126:
		return 0, nil, 0, nil
	}
	if size > readSize {
		return 0, nil, 0, errFrame
	}
	length = header + int(size)
	if len(p) < length {
		return 0, nil, 0, nil
	}
	return ws.OpCode(p[0] & 0x0f), p[header:length], length, nil
}
