package frame

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

var (
	errCloseTooShort = errors.New("a close frame has a payload of one byte")
	errCloseReason   = errors.New("the reason of a close frame is not valid UTF-8")
)

// NewClose returns an unmasked close frame. It has no payload if code is 1005, which
// stands for the absence of a code.
func NewClose(code ws.StatusCode, reason string) []byte {
	if code == ws.StatusNoStatusRcvd {
		return Append(nil, ws.OpClose, nil)
	}
	return Append(nil, ws.OpClose, ws.NewCloseFrameBody(code, reason))
}

// parseClose reads the payload of a close frame (RFC 6455, section 5.5.1).
func parseClose(p []byte) (ws.StatusCode, string, error) {
	switch len(p) {
	case 0:
		return ws.StatusNoStatusRcvd, "", nil
	case 1:
		return 0, "", protocolError(errCloseTooShort)
	}
	code := ws.StatusCode(binary.BigEndian.Uint16(p))
	if !ValidCloseCode(code) {
		return 0, "", protocolError(fmt.Errorf("a close frame has the code %d", code))
	}
	if !utf8.Valid(p[2:]) {
		return 0, "", &Error{Code: ws.StatusInvalidFramePayloadData, Err: errCloseReason}
	}
	return code, string(p[2:]), nil
}

// ValidCloseCode reports whether a close frame may carry the code (RFC 6455, sections
// 7.4.1 and 7.4.2, and the codes registered since).
func ValidCloseCode(c ws.StatusCode) bool {
	return 1000 <= c && c <= 1003 || 1007 <= c && c <= 1014 || 3000 <= c && c <= 4999
}
