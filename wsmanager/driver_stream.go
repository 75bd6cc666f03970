package wsmanager

// streamDriver drives a stream of HTTP/2 on the goroutine of its request, which can't
// return before the stream has ended and may as well read from it.
type streamDriver struct{ t *streamTransport }

func (d streamDriver) start(c *Conn, early []byte) { d.serve(c, early) }

// serve returns when nothing uses the stream any more. There are no early bytes: they
// are in the stream.
func (d streamDriver) serve(c *Conn, _ []byte) {
	defer c.m.dismiss()
	defer d.t.leave()
	err := errExited
	defer func() {
		if v := recover(); v != nil { // callbacks catch their own: this is a bug of ours
			err = c.recovered(v)
		}
		d.end(c, err)
	}()
	if err = c.open(); err != nil {
		return
	}
	err = errExited
	err = readAll(c)
}

// end ends a connection that nobody reads from any more, and reads on, to throw it
// away, until the peer has answered our close frame or ended the stream, or the wheel
// cuts.
func (d streamDriver) end(c *Conn, err error) {
	defer c.release()
	d.t.end(err)
	discard := func(p []byte) error {
		c.discard(p)
		return nil
	}
	err = nil
	for err == nil {
		err = d.t.read(discard)
	}
}
