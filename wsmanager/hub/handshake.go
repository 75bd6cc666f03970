package hub

import (
	"encoding/json"
	"errors"
)

// handshakeRequest is a client's first record. It is JSON, whatever protocol it asks
// for.
type handshakeRequest struct {
	Protocol *string         `json:"protocol"`
	Version  *int            `json:"version"`
	Type     json.RawMessage `json:"type"` // of messages: a handshake has none
}

var errNoHandshake = errors.New("the first message is no handshake request")

func parseHandshake(record []byte) (protocol string, version int, err error) {
	var r handshakeRequest
	if err := json.Unmarshal(record, &r); err != nil || r.Protocol == nil || r.Version == nil || r.Type != nil {
		return "", 0, errors.Join(errNoHandshake, err)
	}
	return *r.Protocol, *r.Version, nil
}

// handshakeAnswer is a WebSocket message of its own: the client counts from the next
// one on.
func handshakeAnswer(problem string) []byte {
	if problem == "" {
		return []byte{'{', '}', separator}
	}
	answer := append([]byte(`{"error":`), appendString(nil, problem)...)
	return append(answer, '}', separator)
}
