package wsmanager

import (
	"errors"
	"fmt"
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
		go readConn(c)
		return
	}
	go func() {
		if openConn(c, early) {
			go readConn(c)
		}
	}()
}

func (goroutineDriver) serve(c *Conn, early []byte) {
	if openConn(c, early) {
		readConn(c)
	}
}

// errExited is what stands if a callback ends its goroutine with runtime.Goexit.
var errExited error = &CloseError{Code: StatusInternalError, Err: fmt.Errorf("%w: it ended its goroutine", ErrPanic)}

// openConn opens the connection and feeds it what came with its handshake. It
// reports whether there is more to read; if not, the connection has ended.
func openConn(c *Conn, early []byte) bool {
	err := errExited
	defer func() {
		if v := recover(); v != nil { // callbacks catch their own: this is a bug of ours
			err = c.recovered(v)
		}
		if err != nil {
			endConn(c, err)
		}
	}()
	err = c.open()
	if err == nil && len(early) > 0 {
		err = errExited
		err = c.consume(early)
	}
	return err == nil
}

// readConn feeds the connection until it ends.
func readConn(c *Conn) {
	err := errExited
	defer func() {
		if v := recover(); v != nil {
			err = c.recovered(v)
		}
		endConn(c, err)
	}()
	err = readAll(c)
}

func readAll(c *Conn) (err error) {
	t, consume := c.t, c.consume
	for err == nil {
		err = t.read(consume)
	}
	return err
}

// endConn ends a connection that nobody reads from any more.
func endConn(c *Conn, err error) {
	defer c.m.dismiss()
	defer linger(c)
	c.finish(err)
}

// linger reads and throws away what the peer still sends until it has answered our
// close frame, has seen the end, or the wheel cuts.
func linger(c *Conn) {
	discard := func(p []byte) error {
		c.discard(p)
		return nil
	}
	err := errInterrupted
	for err == nil || errors.Is(err, errInterrupted) {
		if err != nil {
			c.t.resume()
		}
		err = c.t.read(discard)
	}
	c.release()
}
