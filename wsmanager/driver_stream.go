package wsmanager

import "github.com/speakingtube/speakingtube/wsmanager/internal/transport"

// streamDriver drives a stream of HTTP/2 as goroutineDriver drives a socket, on the
// goroutine of its request, because that must not return before the stream has ended.
type streamDriver struct{ t *transport.Stream }

func (d streamDriver) start(c *Conn, early []byte) { d.serve(c, early) }

func (d streamDriver) readOn(c *Conn, rest []byte, tenure uint32) {
	goroutineDriver{}.readOn(c, rest, tenure)
}

// serve returns when the stream is not in use. early is empty: all bytes are in the stream.
func (d streamDriver) serve(c *Conn, early []byte) {
	defer d.t.Leave()
	goroutineDriver{}.serve(c, early)
}
