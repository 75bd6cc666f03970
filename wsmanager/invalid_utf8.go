package wsmanager

import (
	"bytes"
	"unicode/utf8"
)

// InvalidUTF8 says what happens with a text message, or the reason of a close, that the
// application sends and that is not valid UTF-8. If it were sent, the peer would fail the
// connection with 1007 (RFC 6455, section 8.1). Each send to one connection checks a text; a
// send to an [Audience] and a [Prepared] check it once for all receivers.
type InvalidUTF8 uint8

const (
	// InvalidUTF8Reject sends nothing and returns an error: ErrInvalidUTF8 for a message, in
	// Sent.Err for an Audience. A *CloseError of a callback with such a reason closes the
	// connection with 1011.
	InvalidUTF8Reject InvalidUTF8 = iota

	// InvalidUTF8Replace sends U+FFFD, the replacement character, instead of each run of
	// invalid bytes. The payload of the application is not changed. A text that becomes too
	// big fails with ErrMessageTooBig. A reason that becomes too long is shortened.
	InvalidUTF8Replace
)

// text returns the text message as it is sent, or ErrInvalidUTF8. It returns messages of
// other types unchanged.
func (p InvalidUTF8) text(msg Message) (Message, error) {
	switch {
	case msg.Type != TextMessage || utf8.Valid(msg.Payload):
		return msg, nil
	case p != InvalidUTF8Replace:
		return Message{}, ErrInvalidUTF8
	}
	msg.Payload = replaceInvalid(msg.Payload)
	return msg, nil
}

// reason returns the reason of a close as it is sent. checkClose reports a reason that stays
// invalid.
func (p InvalidUTF8) reason(reason string) string {
	if p != InvalidUTF8Replace || utf8.ValidString(reason) || len(reason) > maxCloseReason {
		return reason
	}
	valid := replaceInvalid([]byte(reason))
	if len(valid) > maxCloseReason {
		end := maxCloseReason
		for !utf8.RuneStart(valid[end]) {
			end--
		}
		valid = valid[:end]
	}
	return string(valid)
}

func replaceInvalid(p []byte) []byte { return bytes.ToValidUTF8(p, []byte(string(utf8.RuneError))) }
