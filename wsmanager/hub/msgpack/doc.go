// Package msgpack implements the protocol "messagepack" for hubs. It is a binary encoding, smaller and faster to decode than
// JSON. Microsoft's clients need an additional package for it (@microsoft/signalr-protocol-msgpack,
// Microsoft.AspNetCore.SignalR.Protocols.MessagePack, com.microsoft.signalr.messagepack).
//
// # Usage
//
//	h, err := hub.New(methods, hub.Options{
//		Protocols: []hub.Protocol{hub.JSON(), msgpack.New(msgpack.Options{})},
//	})
//
// # Values
//
// A value means the same as in JSON. What encoding/json omits, ignores, refuses or takes in another case, this package does
// too: tags with their options, embedded structs, null, the range of numbers, arrays. docs/signalr.md has a table of all
// types. Differences:
//
//   - The name of a field is its msgpack tag, or else its json tag, or else its Go name. Options.Name changes the names that
//     are sent, for example to those of properties in .NET. Received names match in any case. A struct with a field
//     _msgpack of any type and the tag `msgpack:",as_array"` is an array of its fields.
//   - A []byte is binary data. A time.Time is a timestamp (extension -1), a float32 a float of 32 bits.
//   - An integer is decoded from all widths, also into a float; a float is not decoded into an integer. An integer of more
//     than 64 bits (a big.Int, a json.Number) is the text of its digits.
//   - The keys of a map are texts or integers; texts are taken for integers, because JavaScript has no other keys. Encoding
//     the key "__proto__" is an error: it would end the connection of a JavaScript client.
//   - In an any, integers are int64, or uint64 above its range, floats are float64, binary data is []byte, a timestamp is
//     time.Time, and a map is map[string]any with the keys that it has in JSON.
//
// A type encodes itself with MarshalMsgpack and decodes itself with UnmarshalMsgpack ([Marshaler], [Unmarshaler]); else with
// MarshalJSON and UnmarshalJSON, whose JSON is converted; else as a text with MarshalText and UnmarshalText. A time.Duration
// is an error, as in JSON; package hub/dotnet has types for clients in .NET.
//
// A value that contains itself is an error.
//
// # Untrusted input
//
// A record is checked completely, with lengths and nesting, before it is decoded. A false length costs no memory, more than a
// thousand levels of nesting are an error, and a value takes at most 64 bytes for each of its bytes and 1 MiB more.
//
// # Concurrency
//
// A Protocol is safe for concurrent use by any number of hubs and connections.
//
// # Failure
//
// A malformed record ends its connection, as package hub describes. If a value does not match its Go type, only its call
// fails. Panics of types that encode themselves are returned as errors.
//
// # Testing
//
// Use hub.Dial with DialOptions.Protocol.
package msgpack
