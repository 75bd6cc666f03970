package wsmanager

import (
	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
)

// appendFrame appends a final frame to dst, masked if this is a client.
func (m *Manager) appendFrame(dst []byte, op ws.OpCode, payload []byte) []byte {
	start := len(dst)
	dst = frame.Append(dst, op, payload)
	if m.keys != nil {
		dst = m.keys.Mask(dst, start)
	}
	return dst
}

// wire returns an unmasked frame as this side sends it: a client sends a masked copy.
func (m *Manager) wire(plain []byte) []byte {
	if m.keys == nil {
		return plain
	}
	own := append(make([]byte, 0, len(plain)+frame.MaskSize), plain...)
	return m.keys.Mask(own, 0)
}

// maxFrame returns how long a frame may be before it is masked, in bytes.
func (m *Manager) maxFrame() int {
	if m.keys == nil {
		return m.opts.OutboxBytes
	}
	return m.opts.OutboxBytes - frame.MaskSize
}

// sendMasked is send for a client and a frame that other connections send as well.
func (c *Conn) sendMasked(plain []byte) error {
	buf := getFrame()
	defer putFrame(buf)
	*buf = c.m.keys.Mask(append(*buf, plain...), 0)
	return c.send(*buf, false)
}
