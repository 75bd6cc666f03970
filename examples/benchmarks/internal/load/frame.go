// Package load is a WebSocket client with thousands of connections that costs much less
// processor time than the server it measures: one thread, one epoll set, frames that are
// built once. It checks each byte that it receives. It does not import a server: it gets
// an address, and functions that read the figures of the server's process.
package load

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/gobwas/ws"
)

// mask is the mask of all frames. RFC 6455 (section 5.3) wants an unpredictable one for
// each frame, but the cost for a server is the same, and a frame can be reused.
var mask = [4]byte{0xa5, 0x3c, 0x96, 0x1b}

// message is a frame that is sent repeatedly with different numbers.
type message struct {
	frame   []byte // masked
	payload []byte // unmasked
	at      int    // offset of the payload in frame
}

// numberSize is the length of the number at the beginning of a payload.
const numberSize = 8

func newMessage(size int) *message {
	m := &message{payload: make([]byte, size)}
	for i := range m.payload {
		m.payload[i] = byte(i)
	}
	m.frame = ws.MustCompileFrame(ws.MaskFrameWith(ws.NewBinaryFrame(m.payload), mask))
	m.at = len(m.frame) - size
	return m
}

// numbered returns the frame with a number. It is valid until the next call.
func (m *message) numbered(n uint64) []byte {
	wide := uint64(binary.LittleEndian.Uint32(mask[:]))
	binary.LittleEndian.PutUint64(m.frame[m.at:], n^(wide|wide<<32))
	return m.frame
}

// check compares a payload with the message of the number.
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

var errFrame = errors.New("a frame that is masked, fragmented, extended or too large")

// readSize is the size of the read buffer, and the largest frame.
const readSize = 1 << 20

// Next parses the first frame of a server in p. length is the length of the frame, or 0 if
// p does not contain all of it.
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
