package wsmanager

// Piece is a part of a received message: see Callbacks.OnPiece.
//
// The pieces of a message follow each other without pieces of another message. Concatenated,
// their Data is the message, decompressed if it was compressed. Where one piece ends and the
// next begins has no meaning: it depends on the network, and proxies may change the fragments
// of a message.
//
// A text is checked as it arrives. All pieces of a text are the beginning of valid UTF-8, but
// a piece may end inside a character. At the first byte that is not valid the connection is
// closed with 1007; the bytes that arrived together with it are not delivered. The same holds for
// compressed data that is not valid.
type Piece struct {
	// Type is the type of the message, the same in all its pieces.
	Type MessageType

	// Data has at most Options.Limits.MaxMessageSize bytes. It is valid until the callback
	// returns. The callback may change it, and must copy it to keep it. It is empty only if Last
	// is set.
	Data []byte

	// First and Last mark the first and the last piece of the message. A message in one piece
	// has both, and so has an empty message.
	First, Last bool
}
