package hub

import (
	"errors"
	"fmt"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// Protocol is an encoding of hub messages that a client may ask for in its
// handshake. [JSON] is one; MessagePack lives in a module of its own. A Protocol is
// used by many goroutines at once.
//
// Values (arguments, items, results) stay as they came until it is known which Go
// type is wanted: Parse leaves them as [Raw], Decode reads one. In the same way Encode
// makes a Raw, and Append writes messages that consist of such.
type Protocol interface {
	// Name is what clients ask for: "json", "messagepack".
	Name() string

	// MessageType is the type of the WebSocket messages that carry records.
	MessageType() wsmanager.MessageType

	// Cut cuts the first record off data: its content, and how many bytes it takes
	// with its framing. n is 0 if data ends before the record does. A record whose
	// content is longer than limit is an error, as soon as that can be told;
	// [ErrRecordTooBig] is in its chain.
	Cut(data []byte, limit int) (record []byte, n int, err error)

	// Parse reads a record. What it returns keeps nothing of record's memory. It
	// is nil for a message of a type that is not known, which is no error: the
	// protocol grows by new types.
	Parse(record []byte) (Message, error)

	// Append appends the record of a message, framing included, to dst.
	Append(dst []byte, m Message) ([]byte, error)

	// Encode encodes a value.
	Encode(v any) (Raw, error)

	// Decode decodes a value into what v points to.
	Decode(raw Raw, v any) error
}

// Raw is a value in the encoding of a Protocol. nil is the absence of one.
type Raw []byte

// ErrRecordTooBig is in the chain of [Protocol.Cut]'s error for a record that is
// longer than the limit.
var ErrRecordTooBig = errors.New("hub: the message is too big")

// Kind is the type of a message, as it stands on the wire.
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

// String returns the name that the protocol's specification uses.
func (k Kind) String() string {
	names := [...]string{"Invocation", "StreamItem", "Completion", "StreamInvocation", "CancelInvocation", "Ping", "Close", "Ack", "Sequence"}
	if k < 1 || int(k) > len(names) {
		return fmt.Sprintf("message type %d", int(k))
	}
	return names[k-1]
}

// counted reports whether the messages of the kind are counted, kept and replayed
// by stateful reconnect.
func (k Kind) counted() bool { return k >= KindInvocation && k <= KindCancelInvocation }

// Message is one of *Invocation, *StreamItem, *Completion, *CancelInvocation, *Ping,
// *Close, *Ack and *Sequence.
type Message interface{ Kind() Kind }

// Invocation calls a method of the other side. With Stream it is a StreamInvocation:
// it asks for a stream of results.
type Invocation struct {
	ID        string // "" wants no answer
	Target    string
	Arguments []Raw
	StreamIDs []string // of the streams that are arguments and come as items, in their order
	Stream    bool
}

// StreamItem is one item of a stream, of results or of an argument.
type StreamItem struct {
	ID   string
	Item Raw
}

// Completion ends an invocation, or a stream that is an argument.
type Completion struct {
	ID     string
	Error  string // "" if all went well
	Result Raw    // nil if there is none; never beside Error
}

// CancelInvocation tells that nobody waits for an invocation any more.
type CancelInvocation struct{ ID string }

// Ping keeps a connection alive.
type Ping struct{}

// Close announces the end of a connection, and why.
type Close struct {
	Error          string
	AllowReconnect bool // a client that connects again by itself may do so
}

// Ack says up to which one the counted messages have arrived (stateful reconnect).
type Ack struct{ SequenceID int64 }

// Sequence says from which one on the counted messages are sent again.
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
