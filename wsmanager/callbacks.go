package wsmanager

import (
	"errors"
	"net/http"
	"time"
)

// Callbacks are the functions of the application that a Manager calls. Each may be nil.
//
// For one connection the order is: OnAccept; after registration OnConnect; OnMessage for each
// message, or OnPiece for each piece; OnClose. They never run at the same time. Broadcasts reach the connection from
// registration on (but see Accept.Deferred), so some may arrive before OnConnect has returned.
// Its own messages are handled afterwards.
//
// A panic in a callback other than OnAccept closes its connection with 1011 and is logged with
// the stack; other connections are not affected. A callback that blocks delays the callbacks
// of its own connection only. Pings of that connection are answered and its close frame is
// handled within a second: see OnMessage.
type Callbacks struct {
	// OnAccept is called before the upgrade, on the goroutine of the request, for a valid
	// handshake of an allowed origin. Authenticate here. The request must not be used after
	// the return: put the values that you need into Accept.Value. An error refuses the
	// handshake: see [Reject]. A panic refuses it as well, and propagates as the panic of any
	// http.Handler does.
	OnAccept func(r *http.Request) (Accept, error)

	// OnConnect is called when the connection has been registered and the answer to its
	// handshake has been sent. An error closes the connection, as an error of OnMessage does.
	OnConnect func(c *Conn) error

	// OnMessage is called for each message, in order. Messages that arrive after the
	// connection began to close are dropped. An error closes the connection: a *CloseError
	// with its code and reason, any other error with 1011 and no reason. It is logged.
	//
	// OnMessage may take as long as necessary, for example to stream an answer. After half a
	// second at most another goroutine continues to read: it answers pings, and a close
	// frame, the peer's end or a silence of Options.Timeouts.Idle ends the connection's
	// Context. Messages are queued until OnMessage has returned: one of any size, or several
	// of Options.Limits.MaxMessageSize bytes in total, where each message counts 64 bytes more than
	// its payload. Then reading stops, and TCP slows the peer down. Messages that arrived
	// before the peer's end are handled after it too.
	OnMessage func(c *Conn, m Message) error

	// OnPiece is called instead of OnMessage, with the bytes of each message as they arrive. New
	// reports an error if both are set. A message may have any size and takes no memory: use
	// it for uploads, or for protocols with records of their own in a message. See [Piece].
	//
	// The contract is that of OnMessage. While a callback runs, no more is read than is queued
	// after half a second: pieces of Options.Limits.MaxMessageSize bytes in total. So a peer is
	// slowed down to the speed of the callback. A message of which the last piece has not
	// arrived when OnClose is called is incomplete.
	OnPiece func(c *Conn, p Piece) error

	// OnContinue is called once after a callback has called [Continue], when all callbacks for the
	// bytes that were read together have returned. It runs on their goroutine, but it is not one
	// of them: the connection is read meanwhile, and callbacks for it may run at the same time on other
	// goroutines, and so may further calls of OnContinue, and OnClose. It is for work that is
	// usually short, and must not delay the connection if it is not. It may block as callbacks may.
	OnContinue func(c *Conn)

	// OnClose is called exactly once after every OnConnect, also after one that failed, when
	// the connection has left the registry and its groups. Its Context has ended, and sends
	// return ErrClosed. err is nil if the peer or Conn.Close ended the connection with 1000,
	// 1001 or without a code. Otherwise err is a *CloseError, with ErrSlowConsumer,
	// ErrRateLimit, ErrIdleTimeout, ErrWriteTimeout, ErrExpired, ErrShutdown or ErrPanic in its
	// chain if that is the cause.
	OnClose func(c *Conn, err error)
}

// receives reports whether a callback gets messages.
func (cb *Callbacks) receives() bool { return cb.OnMessage != nil || cb.OnPiece != nil }

// check returns the mistake in the callbacks, or nil.
func (cb *Callbacks) check() error {
	if cb.OnMessage != nil && cb.OnPiece != nil {
		return errors.New("wsmanager: Callbacks.OnPiece: it is set beside OnMessage, and each message can be received by one of them only; set OnMessage for whole messages, or OnPiece for parts as they arrive")
	}
	return nil
}

// Accept is the answer of OnAccept to a request that becomes a connection.
type Accept struct {
	// User is the application's name of the connection's user: [Manager.Users] reaches all
	// connections of a user. "" means no user.
	User string

	// Groups are joined before OnConnect. An invalid name (see [Conn.Join]) or too many
	// groups is a programming error; the handshake is answered with 500.
	Groups []string

	// Value is the application's own state of the connection; see [Value].
	Value any

	// Expires is the time at which the identity of the connection ends, for example the expiry of
	// its token. The connection is closed then, at most two seconds later, with 1008 and the
	// reason "expired" (ErrExpired): see [Conn.Close], and [Conn.Renew], which changes the time.
	// The wall clock decides; a change of the system's clock has its effect within
	// Timeouts.PingInterval and its 10 %. A time that has passed closes the connection after the
	// handshake, so that the client reads the code; OnConnect and OnClose are called. Default:
	// the zero time, the connection does not expire.
	Expires time.Time

	// Subprotocol is the chosen sub-protocol: one that the client offered in
	// Sec-WebSocket-Protocol, or "" for none. Any other is a programming error; the handshake
	// is answered with 500.
	Subprotocol string

	// Header is added to the 101, or to the 200 over HTTP/2. Connection, Upgrade and
	// Sec-WebSocket-* belong to the Manager; setting them is a programming error, and the
	// handshake is answered with 500.
	Header http.Header

	// SlowConsumer is the policy of the connection. 0 is the one of the Options.
	SlowConsumer SlowConsumer

	// Compression is the choice of compression for the connection. Use CompressionOff for
	// clients that offer it and fail with it, such as old versions of Safari. 0 is the one of
	// the Options.
	Compression CompressionChoice

	// Variant is the encoding in which the connection receives broadcasts and prepared
	// messages.
	Variant Variant

	// Deferred keeps broadcasts, and sends to groups and users, from the connection until
	// [Conn.Ready]. Use it for protocols that are chosen by the first message. Variant is
	// ignored then. The connection is registered and is a member of its groups, and sends to
	// it alone arrive. It must become ready within Options.ReadyTimeout.
	Deferred bool
}

// Value returns Accept.Value of a connection, or false if it has another type.
func Value[T any](c *Conn) (T, bool) {
	value := c.who.value
	if l, ok := value.(*loggedValue); ok {
		value = l.value
	}
	v, ok := value.(T)
	return v, ok
}
