package wsmanager

// driver says when a connection is readable, and on which goroutine its
// callbacks run. It calls Conn.open once, then Conn.consume with the bytes that
// came with the handshake and with what it reads, then Conn.finish, never two of
// these at a time.
type driver interface {
	// start takes over a connection whose handshake went out. early is what
	// came after the handshake's request in the same segment.
	start(c *Conn, early []byte)

	// serve is start for a caller who waits until the connection has ended and
	// its transport is closed.
	serve(c *Conn, early []byte)
}
