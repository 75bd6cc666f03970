package wsmanager

import (
	"unsafe"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
)

// MessageType tells text from binary messages.
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
// The payload of a received message is valid until the callback that got it
// returns, and may be changed there; whoever needs it longer copies it. A
// received text is valid UTF-8.
//
// The payload of a message to be sent is read before the send returns, and never
// changed. It is not checked to be UTF-8: a peer fails the connection (1007) if
// a text is not.
type Message struct {
	Type    MessageType
	Payload []byte

	// NoCompression sends the message plain, whatever Options.Compression says: for
	// what is compressed already, and for secrets next to what strangers choose (see
	// [Compression]). A received message never has it.
	NoCompression bool
}

// Text makes a text message of s, without copying or allocating.
func Text(s string) Message {
	return Message{Type: TextMessage, Payload: unsafe.Slice(unsafe.StringData(s), len(s))}
}

// Binary makes a binary message of p, without copying or allocating.
func Binary(p []byte) Message { return Message{Type: BinaryMessage, Payload: p} }

func checkType(msg Message) error {
	if msg.Type != TextMessage && msg.Type != BinaryMessage {
		return ErrMessageType
	}
	return nil
}

// StatusCode is the code of a close frame (RFC 6455, section 7.4).
type StatusCode uint16

// The codes that a close frame may carry, and the two that stand for its
// absence. Applications choose theirs between 4000 and 4999.
const (
	StatusNormalClosure      StatusCode = 1000
	StatusGoingAway          StatusCode = 1001
	StatusProtocolError      StatusCode = 1002
	StatusUnsupportedData    StatusCode = 1003
	StatusNoStatusReceived   StatusCode = 1005 // never sent: a close frame without a code
	StatusAbnormalClosure    StatusCode = 1006 // never sent: no close frame
	StatusInvalidPayloadData StatusCode = 1007
	StatusPolicyViolation    StatusCode = 1008
	StatusMessageTooBig      StatusCode = 1009
	StatusMandatoryExtension StatusCode = 1010
	StatusInternalError      StatusCode = 1011
	StatusServiceRestart     StatusCode = 1012
	StatusTryAgainLater      StatusCode = 1013
	StatusBadGateway         StatusCode = 1014
)

// maxCloseReason is what a control frame leaves beside the code.
const maxCloseReason = ws.MaxControlFramePayloadSize - 2

// valid reports whether a close frame may carry the code.
func (c StatusCode) valid() bool {
	return frame.ValidCloseCode(ws.StatusCode(c))
}
