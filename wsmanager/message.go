package wsmanager

import (
	"errors"
	"fmt"
	"unicode/utf8"
	"unsafe"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
)

// MessageType is text or binary.
type MessageType byte

// The types of messages (RFC 6455, section 5.6).
const (
	TextMessage   = MessageType(ws.OpText)
	BinaryMessage = MessageType(ws.OpBinary)
)

// String returns "text" or "binary".
func (t MessageType) String() string {
	switch t {
	case TextMessage:
		return "text"
	case BinaryMessage:
		return "binary"
	}
	return "unknown"
}

// Message is one WebSocket message.
//
// The payload of a received message is valid until the callback that got it returns. The
// callback may change it, and must copy it to keep it. A received text is valid UTF-8.
//
// A send reads the payload before it returns, and does not change it. A text must be valid
// UTF-8: see [InvalidUTF8].
type Message struct {
	Type    MessageType
	Payload []byte

	// NoCompression sends the message without compression, also if Options.Compression is
	// on. Use it for payloads that are compressed already, and for secrets beside text that
	// others choose (see [Compression]). It is false in received messages.
	NoCompression bool
}

// Text returns a text message with the bytes of s, without copying them.
func Text(s string) Message {
	return Message{Type: TextMessage, Payload: unsafe.Slice(unsafe.StringData(s), len(s))}
}

// Binary returns a binary message with the payload p, without copying it.
func Binary(p []byte) Message { return Message{Type: BinaryMessage, Payload: p} }

func checkType(msg Message) error {
	if msg.Type != TextMessage && msg.Type != BinaryMessage {
		return ErrMessageType
	}
	return nil
}

// StatusCode is the code of a close frame (RFC 6455, section 7.4).
type StatusCode uint16

// The registered codes. Codes from 4000 to 4999 are for applications.
const (
	StatusNormalClosure      StatusCode = 1000
	StatusGoingAway          StatusCode = 1001
	StatusProtocolError      StatusCode = 1002
	StatusUnsupportedData    StatusCode = 1003
	StatusNoStatusReceived   StatusCode = 1005 // never sent: the close frame had no code
	StatusAbnormalClosure    StatusCode = 1006 // never sent: there was no close frame
	StatusInvalidPayloadData StatusCode = 1007
	StatusPolicyViolation    StatusCode = 1008
	StatusMessageTooBig      StatusCode = 1009
	StatusMandatoryExtension StatusCode = 1010
	StatusInternalError      StatusCode = 1011
	StatusServiceRestart     StatusCode = 1012
	StatusTryAgainLater      StatusCode = 1013
	StatusBadGateway         StatusCode = 1014
)

// maxCloseReason is the payload of a control frame without the code.
const maxCloseReason = ws.MaxControlFramePayloadSize - 2

// valid reports whether a close frame may carry the code.
func (c StatusCode) valid() bool {
	return frame.ValidCloseCode(ws.StatusCode(c))
}

// checkClose returns an error if a close frame cannot carry the code and the reason.
func checkClose(code StatusCode, reason string) error {
	if !code.valid() {
		return fmt.Errorf("wsmanager: a close frame can't carry the code %d", code)
	}
	if len(reason) > maxCloseReason {
		return fmt.Errorf("wsmanager: the reason has %d bytes, a close frame takes %d", len(reason), maxCloseReason)
	}
	if !utf8.ValidString(reason) {
		return errors.New("wsmanager: the reason is not valid UTF-8")
	}
	return nil
}
