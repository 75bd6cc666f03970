package frametest

import "github.com/gobwas/ws"

// Frame returns a masked frame.
func Frame(op ws.OpCode, fin bool, payload string) string {
	return string(ws.MustCompileFrame(ws.MaskFrameInPlaceWith(ws.NewFrame(op, fin, []byte(payload)), [4]byte{1, 2, 3, 250})))
}

// Reserved returns a masked frame with reserved bits of its first byte set.
func Reserved(op ws.OpCode, fin bool, bits byte, payload string) string {
	f := []byte(Frame(op, fin, payload))
	f[0] |= bits
	return string(f)
}

// CloseBody returns the payload of a close frame.
func CloseBody(code ws.StatusCode, reason string) string {
	return string(ws.NewCloseFrameBody(code, reason))
}
