package wsmanager

// connState only increases.
type connState uint8

const (
	stateOpen    connState = iota
	stateClosing           // the close frame is queued or sent; no other frame is sent after it
	stateCut               // the transport is closed
)

// closeMode is the way of a connection from open to cut.
type closeMode uint8

const (
	// closeGraceful: the messages of the outbox are sent, then the close frame. The peer
	// answers with its own. Then the transport is closed.
	closeGraceful closeMode = iota

	// closeFail: the messages of the outbox are dropped, the close frame is sent at once and
	// our direction is closed (RFC 6455, section 7.1.7). OnClose does not wait for the peer.
	// The bytes that it still sends are read and discarded until it has seen our end,
	// because a socket that is closed with unread bytes is reset, and the peer could lose
	// the close frame.
	closeFail

	// closeReply: the peer's close frame has arrived. Ours is sent as soon as possible. Then
	// the transport is closed: see bothCloseFramesSent.
	closeReply
)
