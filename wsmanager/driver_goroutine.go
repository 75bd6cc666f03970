package wsmanager

import (
	"errors"

	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// goroutineDriver gives each connection a goroutine that waits in a read. The connection's
// transport is a transport.Reader.
type goroutineDriver struct{}

// start runs OnConnect on a goroutine of its own and reads on a fresh one, because a stack
// that has grown is not shrunk while its goroutine waits in a read. The fresh one waits with
// its first 2 KB: keep the stack frames between here and the read small.
func (goroutineDriver) start(c *Conn, early []byte) {
	if c.m.callbacks.OnConnect == nil && len(early) == 0 {
		logStart(c)
		go readConn(c, 0)
		return
	}
	go func() {
		if openConn(c, 0, func() error { return c.session().open(early) }) {
			go readConn(c, 0)
		}
	}()
}

func (goroutineDriver) serve(c *Conn, early []byte) {
	defer c.in.dispatch.awaitEnd((*callbackHost)(c)) // also if another reader has replaced this one and its callback ends the goroutine
	if openConn(c, 0, func() error { return c.session().open(early) }) {
		readConn(c, 0)
	}
}

// readOn reads on a fresh goroutine, like start, after the callbacks for rest.
func (goroutineDriver) readOn(c *Conn, rest []byte, tenure uint32) {
	if rest == nil || openConn(c, tenure, func() error { return c.session().feed(rest) }) {
		go readConn(c, tenure)
	}
}

// openConn opens the connection, or feeds it bytes that were read already. It reports
// whether to read on. If not, the connection has ended, or another reader has replaced this
// one.
func openConn(c *Conn, tenure uint32, open func() error) bool {
	err := errExited
	defer func() {
		if v := recover(); v != nil { // a bug of this package: panics of callbacks are recovered earlier
			err = c.session().panicked(v)
		}
		if err != nil && !c.in.dispatch.replaced((*callbackHost)(c), tenure) {
			endConn(c, err)
		}
	}()
	err = open()
	return err == nil
}

// readConn reads until the connection ends, or another reader has replaced this one.
func readConn(c *Conn, tenure uint32) {
	err := errExited
	defer func() {
		if v := recover(); v != nil {
			err = c.session().panicked(v)
		}
		if !c.in.dispatch.replaced((*callbackHost)(c), tenure) {
			endConn(c, err)
		}
	}()
	err = readAll(c)
}

func readAll(c *Conn) (err error) {
	t := c.out.Transport().(transport.Reader)
	for err == nil {
		err = t.Read((*reading)(c))
	}
	return err
}

// reading is a Conn as the transport.Receiver of its reader.
type reading Conn

func (r *reading) Space() []byte          { return r.in.space() }
func (r *reading) Receive(p []byte) error { return (*session)(r).consume(p) }

// draining is a Conn as the transport.Receiver after its end.
type draining Conn

func (d *draining) Space() []byte { return d.in.space() }

func (d *draining) Receive(p []byte) error {
	d.in.discard((*session)(d), p)
	return nil
}

// endConn ends a connection whose reader has stopped.
func endConn(c *Conn, err error) {
	defer c.session().released()
	defer drainUntilClosed(c)
	c.session().finish(err)
}

// drainUntilClosed reads and discards the bytes that the peer still sends, until it has
// answered our close frame or closed its direction, or Timeouts.Close has passed.
func drainUntilClosed(c *Conn) {
	t := c.out.Transport().(transport.Reader)
	err := t.Resume()
	for err == nil {
		if err = t.Read((*draining)(c)); errors.Is(err, transport.ErrInterrupted) {
			err = t.Resume()
		}
	}
	c.session().drained(err)
	c.session().release()
}
