// Package deflate implements permessage-deflate (RFC 7692): the negotiation of both sides,
// and compression of whole messages without context takeover.
//
// [Negotiate] answers the offers of a client, and [CheckAnswer] checks a server's answer to
// [Offer]. A [Deflater] compresses and [Inflate] decompresses; both work on memory from
// pools, so that a connection holds none of it between two messages. Which messages are
// compressed, and how they are framed, is up to the caller.
//
// Errors of the negotiation describe the header field; the caller adds what it means for
// the handshake. Inflate returns a [frame.Error], as the data was received in frames and
// its status code closes the connection.
package deflate
