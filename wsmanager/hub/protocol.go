package hub

import (
	"errors"
	"fmt"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// Protocol is an encoding of hub messages that a client may request in its handshake. [JSON] is one; MessagePack is in a
// module of its own. A Protocol must be safe for concurrent use.
//
// Values (arguments, items, results) stay encoded until the Go type is known: Parse leaves them as [Raw] and Decode decodes
// one. In the same way Encode makes a Raw, and Append writes messages with Raw values.
type Protocol interface {
	// Name returns the name that clients request, for example "json" or "messagepack".
	Name() string

	// MessageType returns the type of the WebSocket messages that carry records.
	MessageType() wsmanager.MessageType

	// Cut cuts the first record off data. record is its content, which may refer to data, and n its size with framing. n is
	// 0 if data ends before the record. If the content is longer than limit, Cut fails as soon as it can tell, with
	// [ErrRecordTooBig] in the error's chain. If the record has not ended, Cut is called again when more bytes have arrived,
	// with all of them, so it should find the end from a length at the start and not by a search.
	Cut(data []byte, limit int) (record []byte, n int, err error)

	// Parse decodes a record. The Message must not refer to record's memory. For an unknown type of message Parse returns
	// nil without an error, because later versions of the hub protocol may add types.
	Parse(record []byte) (Message, error)

	// Append appends the record of a message with its framing to dst.
	Append(dst []byte, m Message) ([]byte, error)

	// Encode encodes a value.
	Encode(v any) (Raw, error)

	// Decode decodes a value into the variable that v points to.
	Decode(raw Raw, v any) error
}

// Raw is a value in the encoding of a Protocol. nil means that there is no value.
//
// As the type of a parameter, a result, an argument, or a part of them, it is a value that the hub passes on unchanged: with
// all digits of its numbers and its members in their order. A value of JSON is its text. A value of MessagePack begins with the
// byte 0xc1, which that encoding does not use, and has its bytes after it. Clients with the other protocol get the value
// converted, see [Raw.JSON]; the conversion to MessagePack makes texts of numbers whose digits neither an integer of 64 bits nor
// a float64 has. A Raw from one client that reaches others has not been checked by the hub: in MessagePack JavaScript clients
// close their connection at keys of maps that are neither texts nor numbers, or "__proto__".
type Raw []byte

// ErrRecordTooBig is in the chain of [Protocol.Cut]'s error for a record that exceeds the limit.
var ErrRecordTooBig = errors.New("hub: the message is too big")

// Kind is the type of a message. The values are those of the wire format.
type Kind int

// The kinds of messages of the SignalR Hub Protocol, versions 1 and 2.
const (
	KindInvocation       Kind = 1
	KindStreamItem       Kind = 2
	KindCompletion       Kind = 3
	KindStreamInvocation Kind = 4
	KindCancelInvocation Kind = 5
	KindPing             Kind = 6
	KindClose            Kind = 7
	KindAck              Kind = 8
	KindSequence         Kind = 9
)

// String returns the name from the protocol's specification.
func (k Kind) String() string {
	names := [...]string{"Invocation", "StreamItem", "Completion", "StreamInvocation", "CancelInvocation", "Ping", "Close", "Ack", "Sequence"}
	if k < 1 || int(k) > len(names) {
		return fmt.Sprintf("message type %d", int(k))
	}
	return names[k-1]
}

// counted reports whether stateful reconnect counts and replays messages of this kind.
func (k Kind) counted() bool { return k >= KindInvocation && k <= KindCancelInvocation }

// Message is one of *Invocation, *StreamItem, *Completion, *CancelInvocation, *Ping,
// *Close, *Ack and *Sequence.
type Message interface{ Kind() Kind }

// Invocation calls a method of the other side. With Stream it is a StreamInvocation, which requests a stream of results.
type Invocation struct {
	ID        string // "" requests no answer
	Target    string
	Arguments []Raw
	StreamIDs []string // of arguments that are streams, in order; their items follow as StreamItem
	Stream    bool
}

// StreamItem is an item of a stream, which is a result or an argument.
type StreamItem struct {
	ID   string
	Item Raw
}

// Completion ends an invocation or a stream that is an argument.
type Completion struct {
	ID     string
	Error  string // "" on success
	Result Raw    // nil without a result, and always nil with an Error
}

// CancelInvocation cancels an invocation: its sender does not wait for the result.
type CancelInvocation struct{ ID string }

// Ping keeps a connection alive.
type Ping struct{}

// Close announces the end of a connection and its reason.
type Close struct {
	Error          string
	AllowReconnect bool // the client may reconnect automatically
}

// Ack acknowledges the counted messages up to SequenceID (stateful reconnect).
type Ack struct{ SequenceID int64 }

// Sequence tells that the sender replays its counted messages from SequenceID on (stateful reconnect).
type Sequence struct{ SequenceID int64 }

// Kind implements Message.
func (m *Invocation) Kind() Kind {
	if m.Stream {
		return KindStreamInvocation
	}
	return KindInvocation
}

// Kind implements Message.
func (*StreamItem) Kind() Kind { return KindStreamItem }

// Kind implements Message.
func (*Completion) Kind() Kind { return KindCompletion }

// Kind implements Message.
func (*CancelInvocation) Kind() Kind { return KindCancelInvocation }

// Kind implements Message.
func (*Ping) Kind() Kind { return KindPing }

// Kind implements Message.
func (*Close) Kind() Kind { return KindClose }

// Kind implements Message.
func (*Ack) Kind() Kind { return KindAck }

// Kind implements Message.
func (*Sequence) Kind() Kind { return KindSequence }
