package wsmanager

// streamDriver drives a stream of HTTP/2 as goroutineDriver does a socket, on the
// goroutine of its request: that can't return before the stream has ended, and may as
// well read from it.
type streamDriver struct{ t *streamTransport }

func (d streamDriver) start(c *Conn, early []byte) { d.serve(c, early) }

func (d streamDriver) readOn(c *Conn, rest []byte, tenure uint32) {
	goroutineDriver{}.readOn(c, rest, tenure)
}

// serve returns when nothing uses the stream any more. There are no early bytes: they
// are in the stream.
func (d streamDriver) serve(c *Conn, early []byte) {
	defer d.t.leave()
	goroutineDriver{}.serve(c, early)
}
