// Package wsmanager manages WebSocket connections: it accepts them safely, keeps
// a registry of them, tells the application what happens to each, sends to one
// or to all, and ends them in order. A [Manager] is an http.Handler and ends a
// branch of any router or pipeline; each Manager is an isolated set of sockets.
//
// # Usage
//
//	chat, err := wsmanager.New(wsmanager.Callbacks{
//		OnConnect: func(c *wsmanager.Conn) error {
//			c.Manager().Broadcast(wsmanager.Text(c.ID() + " is now connected"))
//			return nil
//		},
//		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
//			return c.Send(m)
//		},
//	}, wsmanager.Options{})
//	…
//	mux.Handle("/ws", chat)
//	…
//	err = chat.Shutdown(ctx) // beside http.Server.Shutdown, which knows no sockets
//
// # Sending
//
// [Conn.Send] and [Manager.Send] reach one connection. [Audience.Send] reaches a set of
// them: [Manager.All], those that have joined a group ([Manager.Group], [Manager.Groups]),
// those of users ([Manager.Users]), or a list of ids ([Manager.Conns]). A message to a set is
// encoded once: see [Prepared], and [Compression], which is off. None of these waits for the network: what a
// peer does not read fast enough waits in its bounded outbox, and when that is
// full its [SlowConsumer] policy says what happens. [Conn.SendContext] waits for
// room instead.
//
// # More than one process
//
// With Options.Backplane all of these reach the connections of other processes, too:
// see [Backplane], and [LocalBus] for one inside a process. Nothing waits for it.
//
// # Concurrency
//
// All methods of [Manager], [Conn], [Audience] and [Prepared] are safe for concurrent
// use and may be called from inside any callback; none of them blocks but Shutdown,
// SendContext and FlushBackplane. (A goroutine that broadcasts faster than broadcasts can be
// delivered waits for a batch of them, which is short and waits for no network.) The callbacks of one connection never overlap;
// those of different connections run in parallel. ServeHTTP returns as soon as
// the socket is accepted (but see Options.Block); nothing of the request lives on
// but what OnAccept returned.
//
// # HTTP/2
//
// A Manager accepts WebSockets over HTTP/2 (RFC 8441) as it does over HTTP/1.1, in a
// process that has switched them on by importing package extendedconnect. There the
// handler stays until the connection has ended.
//
// # Failure
//
// A request that is no valid handshake, comes from a foreign origin, is turned
// down by OnAccept or finds the Manager full is answered over HTTP before anything
// is taken over. After that, every end of a connection reaches OnClose exactly
// once and is logged once. Bytes from the network never panic and never allocate
// beyond the limits; protocol errors close with the code of RFC 6455, a panic in a
// callback with 1011, a peer that sends too much with 1008, one that reads too
// slowly with 1013. Each limit of [Options] has a default. Every message that was
// taken is written, or counted in [Stats] by the reason why not.
//
// # Clients
//
// [Dial] connects to a server: its connection is a [Conn] with the same callbacks and
// contract. A [Dialer] makes any number of them, as one set; a [Client] connects again
// when its connection breaks, and keeps what has not left.
//
// # Testing
//
// Package wstest has a client for tests that runs against any http.Handler, package
// backplanetest a conformance kit for adapters of the backplane.
package wsmanager
