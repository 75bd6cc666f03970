package wsmanager

import (
	"errors"
	"fmt"

	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// goroutineDriver gives each connection a goroutine that waits in a read. It
// works for every net.Conn.
type goroutineDriver struct{}

// start opens the connection on one goroutine and reads on another: the stack of
// the first has grown by what OnConnect did, and would stay so for the life of the
// connection. The second waits on the 2 KB that it was given; keep the frames
// between here and the read small.
func (goroutineDriver) start(c *Conn, early []byte) {
	if c.m.callbacks.OnConnect == nil && len(early) == 0 {
		c.logStart()
		go readConn(c, 0)
		return
	}
	go func() {
		if openConn(c, 0, func() error { return c.open(early) }) {
			go readConn(c, 0)
		}
	}()
}

func (goroutineDriver) serve(c *Conn, early []byte) {
	defer c.awaitEnd() // also if a callback that it was taken from ends the goroutine
	if openConn(c, 0, func() error { return c.open(early) }) {
		readConn(c, 0)
	}
}

// readOn leaves the reading to a fresh goroutine as well, after callbacks that the rest may
// have led to.
func (goroutineDriver) readOn(c *Conn, rest []byte, tenure uint32) {
	if len(rest) == 0 || openConn(c, tenure, func() error { return c.feed(rest) }) {
		go readConn(c, tenure)
	}
}

// errExited is what stands if a callback ends its goroutine with runtime.Goexit.
var errExited error = &CloseError{Code: StatusInternalError, Err: fmt.Errorf("%w: it ended its goroutine", ErrPanic)}

// openConn opens the connection, or feeds it what was read already. It reports whether
// there is more to read; if not, the connection has ended, or was taken.
func openConn(c *Conn, tenure uint32, open func() error) bool {
	err := errExited
	defer func() {
		if v := recover(); v != nil { // callbacks catch their own: this is a bug of ours
			err = c.recovered(v)
		}
		if err != nil && !c.passedOn(tenure) {
			endConn(c, err)
		}
	}()
	err = open()
	return err == nil
}

// readConn feeds the connection until it ends, or is taken.
func readConn(c *Conn, tenure uint32) {
	err := errExited
	defer func() {
		if v := recover(); v != nil {
			err = c.recovered(v)
		}
		if !c.passedOn(tenure) {
			endConn(c, err)
		}
	}()
	err = readAll(c)
}

func readAll(c *Conn) (err error) {
	t, consume := c.t.(transport.Reader), c.consume
	for err == nil {
		err = t.Read(consume)
	}
	return err
}

// endConn ends a connection whose reader has stopped.
func endConn(c *Conn, err error) {
	defer c.dismiss()
	defer drainUntilClosed(c)
	c.finish(err)
}

// drainUntilClosed reads and discards the bytes that the peer still sends, until it has
// answered our close frame or closed its direction, or CloseTimeout has passed.
func drainUntilClosed(c *Conn) {
	t := c.t.(transport.Reader)
	discard := func(p []byte) error {
		c.discard(p)
		return nil
	}
	err := transport.ErrInterrupted
	for err == nil || errors.Is(err, transport.ErrInterrupted) {
		if err != nil {
			t.Resume()
		}
		err = t.Read(discard)
	}
	c.release()
}
