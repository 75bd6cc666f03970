package wsmanager

import "net/http"

// Callbacks is what a Manager tells the application. Each may be nil.
//
// For one connection: OnAccept, then, once it is registered, OnConnect, then
// OnMessage for each message, then OnClose, never two at a time. From
// registration on broadcasts reach the connection (but see Accept.Deferred), so
// some may arrive before its OnConnect has ended; its own messages are handled only
// after.
//
// A panic in a callback (but OnAccept) closes that connection with 1011, is logged with its
// stack, and hurts no other. A callback that blocks holds up the callbacks of its own
// connection only. Its pings are answered and its close frame is seen all the same,
// within a second: see OnMessage.
type Callbacks struct {
	// OnAccept is asked before the upgrade, on the request's goroutine, about a
	// request that is a valid handshake of an allowed origin: authenticate
	// here. What is kept of the request must be put into Accept.Value; the
	// request itself is not to be used after the return. An error refuses: see
	// [Reject]. A panic refuses as well, and goes on to what is above, as that of
	// any http.Handler does.
	OnAccept func(r *http.Request) (Accept, error)

	// OnConnect is called when the connection is registered and its handshake
	// has been sent. An error closes it, as that of OnMessage does.
	OnConnect func(c *Conn) error

	// OnMessage is called for each message, in order. Messages that arrive after
	// the connection began to close are dropped. An error closes with 1011 and
	// no reason, or with code and reason of a *CloseError; it is logged.
	//
	// It may take as long as it likes: to stream an answer, say. After half a second at
	// most another goroutine reads on. Pings are answered; a close frame, the peer's end
	// or a silence of Options.IdleTimeout ends the connection's Context, for the callback
	// to see. Messages are queued until it has returned, in Options.MaxMessageSize bytes
	// at most (each counts 64 more than it has), or one; then nothing more is read, which
	// the peer feels. Messages that came before the peer's end are handled also after it.
	OnMessage func(c *Conn, m Message) error

	// OnClose is called exactly once for every OnConnect (also one that failed),
	// when the connection is out of the registry and of its groups. Its Context is done and
	// sends return ErrClosed. err is nil where the peer or Conn.Close ended it
	// with 1000, 1001 or without a code; otherwise it is a *CloseError, with
	// ErrSlowConsumer, ErrRateLimit, ErrIdleTimeout, ErrWriteTimeout, ErrShutdown
	// or ErrPanic in its chain where that is the cause.
	OnClose func(c *Conn, err error)
}

// Accept is OnAccept's answer to a request that may become a connection.
type Accept struct {
	// User is whom the connection belongs to, as the application knows them:
	// [Manager.Users] reaches all connections of a user. "" means no user.
	User string

	// Groups are joined before OnConnect. One name that is none (see [Conn.Join]),
	// or too many, is a mistake of the application and answered with 500.
	Groups []string

	// Value is the application's own state of the connection; see [Value].
	Value any

	// Subprotocol is the sub-protocol to speak: one that the client offered in
	// Sec-WebSocket-Protocol, or "" for none. Any other is a mistake of the
	// application and answered with 500.
	Subprotocol string

	// Header is added to the 101, over HTTP/2 the 200. Connection, Upgrade and Sec-WebSocket-* are
	// the Manager's own; to set them is a mistake and answered with 500.
	Header http.Header

	// SlowConsumer is the connection's policy; 0 for that of the Options.
	SlowConsumer SlowConsumer

	// Variant is the encoding that the connection gets of what is sent to many.
	Variant Variant

	// Deferred keeps broadcasts, and sends to groups and users, from the
	// connection until [Conn.Ready]: for protocols that are chosen by the first
	// message. Variant does not count then. The connection is registered and in
	// its groups all the same, and sends to it alone arrive. It has
	// Options.ReadyTimeout to become ready.
	Deferred bool
}

// Value returns the application's state of a connection, Accept.Value; false if
// it is of another type.
func Value[T any](c *Conn) (T, bool) {
	v, ok := c.who.value.(T)
	return v, ok
}
