// Package frame encodes and decodes WebSocket frames (RFC 6455, section 5): a [Reader]
// turns the bytes of one direction of a connection into messages and control frames,
// [Append] and [NewClose] encode frames, and [MaskKeys] masks those of a client.
//
// It knows no sockets, locks, options or statistics, and it does not inflate: a compressed
// message is handed over as it arrived, or passes an [Inflater] of the caller. [UTF8] validates
// text that arrives in pieces.
//
// The caller owns the bytes that it passes to [Reader.Feed], which unmasks them in place. It
// may read them into [Reader.Space], where the message is collected. That memory is from package
// bytepool. Payloads are lent to a [Handler] until its method returns. A violation of the protocol
// is an [Error], which names the status code to close the connection with; errors of a
// Handler are returned unchanged.
package frame
