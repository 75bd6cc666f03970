// Package msgpack is the protocol "messagepack" for hubs: a binary encoding, smaller
// and quicker to read than JSON, that Microsoft's clients speak with an additional
// package (@microsoft/signalr-protocol-msgpack,
// Microsoft.AspNetCore.SignalR.Protocols.MessagePack, com.microsoft.signalr.messagepack).
//
// # Usage
//
//	h, err := hub.New(methods, hub.Options{
//		Protocols: []hub.Protocol{hub.JSON(), msgpack.New(msgpack.Options{})},
//	})
//
// It is a module of its own, so that only those who speak MessagePack depend on its
// library, github.com/vmihailenco/msgpack/v5.
//
// # Values
//
// Arguments, items and results are encoded and decoded by that library: see there for
// its struct tags and for the interfaces by which a type does it itself. What differs
// from JSON:
//
//   - A struct is a map of its fields. A field is named by its tag msgpack, or else by
//     its tag json, or else as in Go; so types that are tagged for JSON look the same in
//     both protocols. Names match exactly, unlike JSON's. JavaScript passes names as
//     they are. .NET expects its properties' names, which is what Go's are, or what its
//     attributes say.
//   - A []byte is binary data, not a text; a time.Time is a timestamp (extension -1).
//   - Integers are written in their shortest form. Read, they are taken in any width,
//     also for a float, as JavaScript does not tell 1.0 from 1. One that its type can't
//     hold is an error, as in JSON.
//   - In an any, integers are int64 (uint64 if they are too big for that), floats float64,
//     binary data is []byte, a map is map[string]any, a timestamp time.Time.
//
// Values must not refer to themselves: the library does not notice.
//
// # What comes from strangers
//
// Records are checked whole, lengths and nesting included, before anything is made of
// them: a length that lies costs nothing, and more than a thousand levels are an error.
//
// # Concurrency
//
// A Protocol is safe for concurrent use, by any number of hubs and connections.
//
// # Failure
//
// A record that is malformed ends its connection, as package hub says; a value that does
// not fit its type is an error of the call that has it. Panics of the library come back as
// errors.
//
// # Testing
//
// As with package hub: hub.Dial speaks it with DialOptions.Protocol.
package msgpack
