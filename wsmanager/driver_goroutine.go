package wsmanager

import (
	"errors"
	"fmt"
)

// goroutineDriver gives each connection a goroutine that waits in a read. It
// works for every net.Conn.
type goroutineDriver struct{}

func (goroutineDriver) start(c *Conn, early []byte) { go goroutineDriver{}.serve(c, early) }

func (goroutineDriver) serve(c *Conn, early []byte) {
	defer c.m.dismiss()
	defer linger(c)
	// What stands if a callback ends this goroutine with runtime.Goexit.
	err := error(&CloseError{Code: StatusInternalError, Err: fmt.Errorf("%w: it ended its goroutine", ErrPanic)})
	defer func() { c.finish(err) }()
	err = readAll(c, early)
}

// readAll opens the connection and feeds it until it ends, and returns why.
func readAll(c *Conn, early []byte) (err error) {
	defer func() {
		if v := recover(); v != nil { // callbacks catch their own: this is a bug of ours
			err = c.recovered(v)
		}
	}()
	err = c.open()
	if err == nil && len(early) > 0 {
		err = c.consume(early)
	}
	consume := c.consume
	for err == nil {
		err = c.t.read(consume)
	}
	return err
}

// linger reads and throws away what the peer still sends until it has seen the
// end, or the wheel cuts.
func linger(c *Conn) {
	discard := func([]byte) error { return nil }
	err := errInterrupted
	for err == nil || errors.Is(err, errInterrupted) {
		if err != nil {
			c.t.resume()
		}
		err = c.t.read(discard)
	}
	c.release()
}
