package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/hub/msgpack"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// Opcodes of frames (RFC 6455, section 5.2).
const (
	opText   = 1
	opBinary = 2
	opClose  = 8
)

// socket is one WebSocket of a replay.
type socket struct {
	*wstest.Client
	shaken   bool     // the answer to the handshake was read
	expected []string // records that the server has sent in the recording
	rest     []string // records that were received
	canceled []string // streams, whose items do not count
	closing  bool     // the client has sent a close frame: nothing is certain to arrive
}

var (
	binary     = msgpack.New(msgpack.Options{})
	cancelText = regexp.MustCompile(`"type":5,"invocationId":"(\w+)"|"invocationId":"(\w+)","type":5`)
)

// cancel notes that items of a stream do not count from now on.
func (s *socket) cancel(id string) {
	s.canceled = append(s.canceled, id)
	s.expected = slices.DeleteFunc(s.expected, s.uncertain)
}

// uncertain reports whether a record may or may not arrive: pings, acknowledgements, and items of canceled streams.
func (s *socket) uncertain(record string) bool {
	if strings.HasPrefix(record, `{"type":6`) || strings.HasPrefix(record, `{"type":8`) {
		return true
	}
	m := itemText.FindStringSubmatch(record)
	return m != nil && slices.Contains(s.canceled, m[1])
}

var itemText = regexp.MustCompile(`^\{"type":2,"invocationId":"(\w+)"`)

// records returns the records of a recorded message of the server as texts.
func (r *replay) records(s *socket, e *event) (out []string) {
	switch {
	case e.Opcode == "close":
		return []string{fmt.Sprintf("close %d", e.Code)}
	case e.Bytes > 0:
		return []string{fmt.Sprintf("%d bytes", e.Bytes)}
	case e.Hex != "":
		wire, err := hex.DecodeString(e.Hex)
		require.NoError(r.t, err)
		out = r.binaryRecords(wire)
	default:
		out = strings.Split(strings.TrimSuffix(e.Text, "\x1e"), "\x1e")
	}
	return slices.DeleteFunc(out, s.uncertain)
}

func (r *replay) messages(wire []byte) func(yield func(hub.Message) bool) {
	return func(yield func(hub.Message) bool) {
		for len(wire) > 0 {
			record, n, err := binary.Cut(wire, len(wire))
			require.NoError(r.t, err)
			require.Positive(r.t, n)
			m, err := binary.Parse(record)
			require.NoError(r.t, err)
			wire = wire[n:]
			if !yield(m) {
				return
			}
		}
	}
}

// binaryRecords returns records of MessagePack in JSON.
func (r *replay) binaryRecords(wire []byte) (out []string) {
	asJSON := func(raw hub.Raw) hub.Raw {
		if raw == nil {
			return nil
		}
		var v any
		require.NoError(r.t, binary.Decode(raw, &v))
		text, err := json.Marshal(v)
		require.NoError(r.t, err)
		return hub.Raw(text)
	}
	for m := range r.messages(wire) {
		switch m := m.(type) {
		case *hub.Completion:
			m.Result = asJSON(m.Result)
		case *hub.StreamItem:
			m.Item = asJSON(m.Item)
		case *hub.Invocation:
			for i, a := range m.Arguments {
				m.Arguments[i] = asJSON(a)
			}
		}
		text, err := hub.JSON().Append(nil, m)
		require.NoError(r.t, err)
		out = append(out, strings.TrimSuffix(string(text), "\x1e"))
	}
	return out
}

// next reads a record, "close" with its code, or "" at the end.
func (r *replay) next(s *socket) string {
	for {
		if len(s.rest) > 0 {
			record := s.rest[0]
			s.rest = s.rest[1:]
			if !s.uncertain(record) {
				return connectionID.ReplaceAllString(record, `$1"id"`)
			}
			continue
		}
		f, err := s.ReadFrame()
		if errors.Is(err, io.EOF) {
			return ""
		}
		require.NoError(r.t, err)
		switch {
		case f.Header.OpCode == opClose:
			require.GreaterOrEqual(r.t, len(f.Payload), 2, "the status of a close frame")
			return fmt.Sprintf("close %d", int(f.Payload[0])<<8|int(f.Payload[1]))
		case f.Header.OpCode != opText && f.Header.OpCode != opBinary:
		case len(f.Payload) > 1<<20:
			return fmt.Sprintf("%d bytes", len(f.Payload))
		case s.shaken && f.Header.OpCode == opBinary:
			s.rest = r.binaryRecords(f.Payload)
		default:
			s.rest = strings.Split(string(bytes.TrimSuffix(f.Payload, []byte{0x1e})), "\x1e")
			s.shaken = true
		}
	}
}
