package wsmanager

import (
	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
)

// A client masks each frame that it sends (RFC 6455, section 5.3). keys is nil on the
// server's side.

// maskFrames makes m the Manager of a client. It must not have connections yet.
func (m *Manager) maskFrames() {
	m.keys = frame.NewMaskKeys()
	m.sending.keys = m.keys
}

// appendFrame appends a final frame to dst.
func appendFrame(keys *frame.MaskKeys, dst []byte, op ws.OpCode, payload []byte) []byte {
	start := len(dst)
	dst = frame.Append(dst, op, payload)
	if keys != nil {
		dst = keys.Mask(dst, start)
	}
	return dst
}

// maskedFrame returns the frame as this side sends it: a client sends a masked copy.
func maskedFrame(keys *frame.MaskKeys, plain []byte) []byte {
	if keys == nil {
		return plain
	}
	own := append(make([]byte, 0, len(plain)+frame.MaskSize), plain...)
	return keys.Mask(own, 0)
}

// maxFrame returns the maximum length of a frame before it is masked, in bytes.
func (m *Manager) maxFrame() int {
	if m.keys == nil {
		return m.opts.OutboxBytes
	}
	return m.opts.OutboxBytes - frame.MaskSize
}
