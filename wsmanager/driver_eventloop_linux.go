package wsmanager

import (
	"errors"
	"net"
	"syscall"

	"github.com/speakingtube/speakingtube/wsmanager/internal/evloop"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// loopDriver is the driver of a connection in an event loop.
type loopDriver transport.Loop

// newLoopTransport moves the plain TCP connection of c into a loop: its descriptor is
// duplicated, and the net.Conn is closed.
func (m *Manager) newLoopTransport(c *Conn, conn net.Conn) (transport.Transport, driver, error) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil, nil, errNotPlainTCP
	}
	fd, err := transport.Duplicate(tcp)
	if err != nil {
		return nil, nil, err
	}
	t := &transport.Loop{}
	if err := m.loops.AddOwned(fd, (*eventHandler)(c), &t.Socket); err != nil {
		_ = syscall.Close(fd) // the connection goes on in its net.Conn
		return nil, nil, err
	}
	_ = conn.Close() // the connection goes on in its duplicate
	remote := conn.RemoteAddr()
	if remote == nil {
		remote = c.RemoteAddr()
	}
	return t.WithRemote(remote), (*loopDriver)(t), nil
}

// loopDriverOf returns the driver of a transport.Loop.
func loopDriverOf(t transport.Transport) driver { return (*loopDriver)(transport.LoopOf(t)) }

func (d *loopDriver) start(c *Conn, early []byte) {
	if c.m.callbacks.OnConnect == nil && len(early) == 0 {
		logStart(c)
		d.Socket.Release()
		return
	}
	go d.own(c, 0, func() error { return c.session().open(early) })
}

func (d *loopDriver) serve(c *Conn, early []byte) {
	left := c.m.loops.Left(&d.Socket)
	d.start(c, early)
	<-left
}

func (d *loopDriver) readOn(c *Conn, rest []byte, tenure uint32) {
	d.own(c, tenure, func() error { return c.session().feed(rest) })
}

// own opens the connection, or feeds it bytes that were read already, and gives it to the
// loop, unless another reader has replaced this one.
func (d *loopDriver) own(c *Conn, tenure uint32, open func() error) {
	(*transport.Loop)(d).EndData() // of the reader that was replaced
	defer func() {                 // also if OnClose ends the goroutine
		if !c.in.dispatch.replaced((*callbackHost)(c), tenure) {
			d.Socket.Release()
		}
	}()
	err := errExited
	defer func() {
		if v := recover(); v != nil { // a bug of this package: panics of callbacks are recovered earlier
			err = c.session().panicked(v)
		}
		if err != nil && !c.in.dispatch.replaced((*callbackHost)(c), tenure) {
			d.finish(c, err)
		}
	}()
	err = open()
}

// finish ends the connection for the application, once.
func (d *loopDriver) finish(c *Conn, err error) {
	if !d.Finished {
		d.Finished = true
		c.session().finish(err)
	}
}

// eventHandler is a Conn in its role as the handler of its socket. The loop makes one call
// at a time, with two exceptions: Writable may run at the same time as another method, and
// any method at the same time as a Data from which the socket was taken.
type eventHandler Conn

func (h *eventHandler) driver() *loopDriver {
	return (*loopDriver)(transport.LoopOf(h.out.Transport()))
}

// Space implements evloop.Handler.
func (h *eventHandler) Space() []byte { return h.in.space() }

// Data implements evloop.Handler.
func (h *eventHandler) Data(p []byte) bool {
	d, c := h.driver(), (*Conn)(h)
	if d.Finished {
		c.in.discard(c.session(), p) // until the peer has answered or closed its direction, or Timeouts.Close has passed
		return true
	}
	continues := c.m.callbacks.OnContinue != nil
	if continues {
		(*transport.Loop)(d).BeginData()
	}
	err := c.session().consume(p)
	if err == frame.ErrTaken {
		return true // the socket has another owner
	}
	if continues {
		(*transport.Loop)(d).EndData()
	}
	if err != nil {
		d.finish(c, err)
	}
	return true
}

// followUp implements evloop.Options.FollowUp.
func followUp(h evloop.Handler) {
	e := h.(*eventHandler)
	if !(*transport.Loop)(e.driver()).TakeFollowUp() {
		return
	}
	c := (*Conn)(e)
	defer func() {
		if v := recover(); v != nil {
			(*callbackHost)(c).endTaken(c.session().panicked(v))
		}
	}()
	c.m.callbacks.OnContinue(c)
}

// Kicked implements evloop.Handler. Interrupt leads to this call.
func (h *eventHandler) Kicked() { h.driver().finish((*Conn)(h), transport.ErrInterrupted) }

// Writable implements evloop.Handler.
func (h *eventHandler) Writable() {
	if h.out.Pump((*session)(h)) {
		(*transport.Loop)(h.driver()).NotifyWritable()
	}
}

// End implements evloop.Handler.
func (h *eventHandler) End(err error) {
	d, c := h.driver(), (*Conn)(h)
	defer c.session().released()
	defer c.in.dispatch.afterCallbacks((*callbackHost)(c), func() { c.m.loops.Leave(&d.Socket) })
	defer c.session().release()
	var panicked *evloop.PanicError
	switch {
	case errors.As(err, &panicked): // a bug of this package
		err = c.session().panickedAt(panicked.Value, panicked.Stack)
	case errors.Is(err, evloop.ErrGoexit):
		err = errExited
	}
	d.finish(c, err)
}
