package hub

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/transcode"
)

// rawMessagePack begins a Raw that a method gets from a client with MessagePack. Neither JSON nor MessagePack uses the byte.
const rawMessagePack = 0xc1

var errEmptyRaw = errors.New("hub: an empty value of MessagePack in a Raw")

// JSON returns the value as JSON. A value of MessagePack is converted: binary data to a text in base64, a timestamp to a text in
// RFC 3339, and keys of maps to texts. It fails for a value that JSON does not have, such as NaN. JSON returns "null" for nil.
func (r Raw) JSON() (json.RawMessage, error) {
	switch {
	case len(r) == 0:
		return json.RawMessage("null"), nil
	case r[0] == rawMessagePack:
		return transcode.ToJSON(nil, r[1:])
	}
	return json.RawMessage(r), nil
}

// MarshalJSON implements json.Marshaler; see [Raw.JSON].
func (r Raw) MarshalJSON() ([]byte, error) {
	p, err := r.JSON()
	return p, err
}

// UnmarshalJSON copies a value of JSON.
func (r *Raw) UnmarshalJSON(p []byte) error {
	*r = bytes.Clone(p)
	return nil
}

// MarshalMsgpack returns the value in MessagePack.
func (r Raw) MarshalMsgpack() ([]byte, error) {
	switch {
	case len(r) == 0:
		return []byte{0xc0}, nil
	case r[0] != rawMessagePack:
		return transcode.ToMessagePack(nil, r)
	case len(r) == 1:
		return nil, errEmptyRaw
	}
	return r[1:], nil
}

// UnmarshalMsgpack copies a value of MessagePack.
func (r *Raw) UnmarshalMsgpack(p []byte) error {
	*r = append(Raw{rawMessagePack}, p...)
	return nil
}
