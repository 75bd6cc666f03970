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
// # Concurrency
//
// All methods of [Manager] and [Conn] are safe for concurrent use and may be
// called from inside any callback; none of them blocks but Shutdown. The
// callbacks of one connection never overlap; those of different connections run
// in parallel. ServeHTTP returns as soon as the socket is accepted; nothing of
// the request lives on but what OnAccept returned.
//
// # Failure
//
// A request that is no valid handshake, comes from a foreign origin or is turned
// down by OnAccept is answered over HTTP before anything is taken over. After
// that, every end of a connection reaches OnClose exactly once and is logged
// once. Bytes from the network never panic and never allocate beyond the limits;
// protocol errors close with the code of RFC 6455, a panic in a callback with
// 1011, a peer that reads too slowly with 1013. Each limit of [Options] has a
// default.
//
// # Testing
//
// Package wstest has a client for tests that runs against any http.Handler.
package wsmanager
