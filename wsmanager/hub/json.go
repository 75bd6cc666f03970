package hub

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// JSON is the protocol "json". A record is a JSON object followed by the byte 0x1E. Values are encoded and decoded by
// encoding/json, so json tags name their fields, and names match case-insensitively when a value is decoded. Differences: in an
// any, integers are int64, uint64 above its range, or json.Number above that; elements that a Go array has no place for are an
// error; and so is a time.Duration, of which clients cannot know the unit.
func JSON() Protocol { return jsonProtocol{} }

type jsonProtocol struct{}

// separator ends a record. In JSON the byte may only appear escaped in strings.
const separator = 0x1e

func (jsonProtocol) Name() string                       { return "json" }
func (jsonProtocol) MessageType() wsmanager.MessageType { return wsmanager.TextMessage }

func (jsonProtocol) Cut(data []byte, limit int) ([]byte, int, error) { return cutText(data, 0, limit) }

// cutText cuts off a record that ends with a separator. The first seen bytes of data were searched before. Handshakes have
// this form in all protocols.
func cutText(data []byte, seen, limit int) ([]byte, int, error) {
	i := bytes.IndexByte(data[seen:], separator)
	if i >= 0 {
		i += seen
	}
	switch {
	case i > limit, i < 0 && len(data) > limit:
		return nil, 0, fmt.Errorf("%w: the limit is %d bytes", ErrRecordTooBig, limit)
	case i < 0:
		return nil, 0, nil
	}
	return data[:i], i + 1, nil
}

// jsonRecord has the members of all kinds of records. Pointers and raw values are nil if the member is missing.
type jsonRecord struct {
	Type           *Kind             `json:"type"`
	Headers        map[string]string `json:"headers"`
	InvocationID   string            `json:"invocationId"`
	Target         *string           `json:"target"`
	Arguments      *[]jsonRaw        `json:"arguments"`
	StreamIDs      []string          `json:"streamIds"`
	Item           jsonRaw           `json:"item"`
	Result         jsonRaw           `json:"result"`
	Error          *string           `json:"error"`
	AllowReconnect bool              `json:"allowReconnect"`
	SequenceID     *int64            `json:"sequenceId"`
}

// jsonRaw is a json.RawMessage that distinguishes null from a missing member.
type jsonRaw Raw

// UnmarshalJSON copies p.
func (r *jsonRaw) UnmarshalJSON(p []byte) error {
	*r = append((*r)[:0], p...)
	return nil
}

func (jsonProtocol) Parse(record []byte) (Message, error) {
	if m, ok := scanRecord(record); ok {
		return m, nil
	}
	return parseRecord(record)
}

// parseRecord parses all records.
func parseRecord(record []byte) (Message, error) {
	var r jsonRecord
	if err := json.Unmarshal(record, &r); err != nil {
		return nil, err
	}
	if r.Type == nil {
		return nil, errors.New("a message without a type")
	}
	switch k := *r.Type; k {
	case KindInvocation, KindStreamInvocation:
		switch {
		case r.Target == nil || *r.Target == "":
			return nil, fmt.Errorf("%v without a target", k)
		case r.Arguments == nil:
			return nil, fmt.Errorf("%v without arguments", k)
		case k == KindStreamInvocation && r.InvocationID == "":
			return nil, fmt.Errorf("%v without an invocationId", k)
		}
		m := &Invocation{ID: r.InvocationID, Target: *r.Target, Stream: k == KindStreamInvocation}
		if len(r.StreamIDs) > 0 {
			m.StreamIDs = r.StreamIDs
		}
		m.Arguments = make([]Raw, len(*r.Arguments))
		for i, a := range *r.Arguments {
			m.Arguments[i] = Raw(a)
		}
		return m, nil
	case KindStreamItem:
		switch {
		case r.InvocationID == "":
			return nil, fmt.Errorf("%v without an invocationId", k)
		case r.Item == nil:
			return nil, fmt.Errorf("%v without an item", k)
		}
		return &StreamItem{ID: r.InvocationID, Item: Raw(r.Item)}, nil
	case KindCompletion:
		switch {
		case r.InvocationID == "":
			return nil, fmt.Errorf("%v without an invocationId", k)
		case r.Error != nil && r.Result != nil:
			return nil, fmt.Errorf("%v with a result and an error", k)
		}
		return &Completion{ID: r.InvocationID, Error: deref(r.Error), Result: Raw(r.Result)}, nil
	case KindCancelInvocation:
		if r.InvocationID == "" {
			return nil, fmt.Errorf("%v without an invocationId", k)
		}
		return &CancelInvocation{ID: r.InvocationID}, nil
	case KindPing:
		return &Ping{}, nil
	case KindClose:
		return &Close{Error: deref(r.Error), AllowReconnect: r.AllowReconnect}, nil
	case KindAck, KindSequence:
		if r.SequenceID == nil {
			return nil, fmt.Errorf("%v without a sequenceId", k)
		}
		if k == KindAck {
			return &Ack{SequenceID: *r.SequenceID}, nil
		}
		return &Sequence{SequenceID: *r.SequenceID}, nil
	}
	return nil, nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Append writes the members in the order of the specification. It omits empty members, because clients treat null and ""
// as protocol errors.
func (jsonProtocol) Append(dst []byte, m Message) ([]byte, error) {
	dst = append(dst, `{"type":`...)
	dst = strconv.AppendInt(dst, int64(m.Kind()), 10)
	switch m := m.(type) {
	case *Invocation:
		dst = appendMember(dst, "invocationId", m.ID)
		dst = append(dst, `,"target":`...)
		dst = appendString(dst, m.Target)
		dst = append(dst, `,"arguments":[`...)
		for i, a := range m.Arguments {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendRaw(dst, a)
		}
		dst = append(dst, ']')
		if len(m.StreamIDs) > 0 {
			dst = append(dst, `,"streamIds":[`...)
			for i, id := range m.StreamIDs {
				if i > 0 {
					dst = append(dst, ',')
				}
				dst = appendString(dst, id)
			}
			dst = append(dst, ']')
		}
	case *StreamItem:
		dst = appendMember(dst, "invocationId", m.ID)
		dst = append(dst, `,"item":`...)
		dst = appendRaw(dst, m.Item)
	case *Completion:
		dst = appendMember(dst, "invocationId", m.ID)
		if dst = appendMember(dst, "error", m.Error); m.Error == "" && m.Result != nil {
			dst = append(dst, `,"result":`...)
			dst = appendRaw(dst, m.Result)
		}
	case *CancelInvocation:
		dst = appendMember(dst, "invocationId", m.ID)
	case *Close:
		dst = appendMember(dst, "error", m.Error)
		if m.AllowReconnect {
			dst = append(dst, `,"allowReconnect":true`...)
		}
	case *Ack:
		dst = append(dst, `,"sequenceId":`...)
		dst = strconv.AppendInt(dst, m.SequenceID, 10)
	case *Sequence:
		dst = append(dst, `,"sequenceId":`...)
		dst = strconv.AppendInt(dst, m.SequenceID, 10)
	}
	return append(dst, '}', separator), nil
}

// appendMember appends a member if its value is not empty.
func appendMember(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	dst = append(dst, '"', ':')
	return appendString(dst, value)
}

func appendRaw(dst []byte, raw Raw) []byte {
	if len(raw) == 0 {
		return append(dst, "null"...)
	}
	return append(dst, raw...)
}

func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if b := s[i]; b < 0x20 || b >= 0x7f || b == '"' || b == '\\' {
			quoted, _ := json.Marshal(s) // does not fail for a string
			return append(dst, quoted...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

func (jsonProtocol) Encode(v any) (Raw, error) { return encodeJSON(v) }

func (jsonProtocol) Decode(raw Raw, v any) error { return decodeJSON(raw, v) }
