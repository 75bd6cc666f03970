// Package wsmanager manages WebSocket connections. It accepts them safely, keeps a registry of
// them, calls the application for each event, sends to one connection or to many, and closes
// all of them gracefully. A [Manager] is an http.Handler for the end of a branch of any router
// or pipeline. Each Manager is an isolated set of connections.
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
//	err = chat.Shutdown(ctx) // beside http.Server.Shutdown, which does not wait for WebSockets
//
// # Sending
//
// [Conn.Send] and [Manager.Send] reach one connection. [Audience.Send] reaches a set of
// connections: all of them ([Manager.All]), those of groups ([Manager.Group], [Manager.Groups]),
// of users ([Manager.Users]) or of a list of ids ([Manager.Conns]). A message to an audience is
// encoded once: see [Prepared], and [Compression], which is off by default. Sends do not wait for
// the network. Messages that a peer does not read fast enough wait in its bounded outbox; when
// that is full, the connection's [SlowConsumer] policy applies. [Conn.SendContext] waits for room
// instead.
//
// # More than one process
//
// With Options.Backplane, sends reach the connections of other processes too: see [Backplane],
// and [LocalBus] for several Managers in one process. Sends do not wait for the backplane.
//
// # Concurrency
//
// All methods of [Manager], [Conn], [Audience] and [Prepared] are safe for concurrent use and may
// be called inside callbacks. Only Shutdown, SendContext and FlushBackplane wait. (A goroutine
// that broadcasts faster than broadcasts can be delivered also waits for the batch in progress,
// which is short and does not wait for the network.) The callbacks of one connection never
// overlap; those of different connections run in parallel. ServeHTTP returns after the handshake,
// except with Options.Block; of the request only the result of OnAccept is kept.
//
// # HTTP/2
//
// A Manager accepts WebSockets over HTTP/2 (RFC 8441) in the same way as over HTTP/1.1, if the
// process has enabled them by importing package extendedconnect. Over HTTP/2 ServeHTTP returns
// after the connection has ended.
//
// # Failure
//
// A request is answered over HTTP if it is not a valid handshake, comes from a foreign origin,
// is refused by OnAccept or exceeds Options.MaxConnections. After the handshake, the end of each
// connection reaches OnClose exactly once and is logged once. Received bytes cause no panics and
// no allocations above the limits. Protocol errors close with the code of RFC 6455, a panic in a
// callback with 1011, a peer that sends too much with 1008, and one that reads too slowly with
// 1013. Each limit in [Options] has a default. Each accepted message is written, or counted in
// [Stats] with the reason.
//
// # Clients
//
// [Dial] connects to a server: its connection is a [Conn] with the same callbacks and contract.
// A [Dialer] makes any number of connections in one set. A [Client] reconnects when its
// connection breaks, and keeps the messages that have not been written.
//
// # Testing
//
// Package wstest has a client for tests of any http.Handler. Package backplanetest checks
// adapters of the backplane.
package wsmanager
