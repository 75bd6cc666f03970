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
// The package is a module of its own, so that only its users depend on github.com/vmihailenco/msgpack/v5.
//
// # Values
//
// That library encodes and decodes arguments, items and results. Its documentation describes its struct tags and the
// interfaces for types with an encoding of their own. Differences from JSON:
//
//   - A struct is a map of its fields. The name of a field is its msgpack tag, or else its json tag, or else its Go name, so
//     types with json tags have the same names in both protocols. Unlike in JSON, names must match exactly. JavaScript uses
//     the names unchanged. .NET expects the names of its properties, which usually are the Go names, or the names in its
//     attributes.
//   - A []byte is binary data, not text. A time.Time is a timestamp (extension -1).
//   - Integers are encoded in their shortest form. They are decoded from all widths, also into a float, because JavaScript
//     does not distinguish 1.0 from 1. As in JSON, an integer that overflows its Go type is an error.
//   - In an any, integers are int64 (or uint64 above its range), floats are float64, binary data is []byte, a map is
//     map[string]any, and a timestamp is time.Time.
//
// Values must not contain themselves: the library does not detect cycles.
//
// # Untrusted input
//
// A record is checked completely, with lengths and nesting, before it is decoded. A false length costs no memory, and more
// than a thousand levels of nesting are an error.
//
// # Concurrency
//
// A Protocol is safe for concurrent use by any number of hubs and connections.
//
// # Failure
//
// A malformed record ends its connection, as package hub describes. If a value does not match its Go type, only its call
// fails. Panics of the library are returned as errors.
//
// # Testing
//
// Use hub.Dial with DialOptions.Protocol.
package msgpack
