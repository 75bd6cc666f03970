package wsmanager

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/speakingtube/speakingtube/wsmanager/internal/evloop"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
)

// loopTransport is the transport of a connection in an event loop, and its driver.
type loopTransport struct {
	evloop.Socket

	addr [16]byte // of the peer; packed, as netip.AddrPort is twice as long
	port uint16
	is4  bool

	finished bool // for the application; what still comes is thrown away
}

// newTransport takes c's plain TCP connection over: its descriptor is duplicated
// into the loop, and the net.Conn closed.
func (l *loops) newTransport(c *Conn, conn net.Conn) (transport, driver, error) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil, nil, errNotPlainTCP
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, nil, err
	}
	var fd int
	var errno syscall.Errno
	err = raw.Control(func(old uintptr) {
		n, _, e := syscall.RawSyscall(syscall.SYS_FCNTL, old, syscall.F_DUPFD_CLOEXEC, 0)
		fd, errno = int(n), e
	})
	switch {
	case err != nil:
		return nil, nil, err
	case errno != 0:
		return nil, nil, fmt.Errorf("duplicating its descriptor: %w", errno)
	}
	t := &loopTransport{}
	loop, err := l.enter()
	if err == nil {
		if err = loop.AddOwned(fd, (*looped)(c), &t.Socket); err != nil {
			l.leave(c)
		}
	}
	if err != nil {
		_ = syscall.Close(fd) // the connection goes on in its net.Conn
		return nil, nil, err
	}
	_ = conn.Close() // the connection goes on in its duplicate
	peer, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok || peer.Zone != "" {
		return &addressed{t, conn.RemoteAddr()}, t, nil
	}
	addr := peer.AddrPort()
	t.addr, t.port, t.is4 = addr.Addr().As16(), addr.Port(), addr.Addr().Is4()
	return t, t, nil
}

func (t *loopTransport) start(c *Conn, early []byte) {
	if c.m.callbacks.OnConnect == nil && len(early) == 0 {
		c.logStart()
		t.Release()
		return
	}
	go t.own(c, 0, func() error { return c.open(early) })
}

func (t *loopTransport) serve(c *Conn, early []byte) {
	ended := make(chan struct{})
	c.m.loops.onEnd(c, ended)
	t.start(c, early)
	<-ended
}

func (t *loopTransport) readOn(c *Conn, rest []byte, tenure uint32) {
	t.own(c, tenure, func() error { return c.feed(rest) })
}

// own opens the connection, or feeds it what was read already, and gives it to the loop;
// unless it was taken meanwhile.
func (t *loopTransport) own(c *Conn, tenure uint32, open func() error) {
	defer func() { // also if OnClose ends the goroutine
		if !c.passedOn(tenure) {
			t.Release()
		}
	}()
	err := errExited
	defer func() {
		if v := recover(); v != nil { // callbacks catch their own: this is a bug of ours
			err = c.recovered(v)
		}
		if err != nil && !c.passedOn(tenure) {
			t.finish(c, err)
		}
	}()
	err = open()
}

// finish ends the connection for the application.
func (t *loopTransport) finish(c *Conn, err error) {
	if !t.finished {
		t.finished = true
		c.finish(err)
	}
}

// looped is a Conn in its role as the handler of its socket. What the loop calls
// is never called twice at a time; Writable may be called beside the others, and any of
// them beside a Data that the socket was taken from.
type looped Conn

func (h *looped) transport() *loopTransport {
	t := h.t
	if a, ok := t.(*addressed); ok {
		t = a.transport
	}
	return t.(*loopTransport)
}

// Data implements evloop.Handler.
func (h *looped) Data(p []byte) bool {
	t, c := h.transport(), (*Conn)(h)
	if t.finished {
		c.discard(p) // until the peer has answered, has seen the end, or the wheel cuts
		return true
	}
	if err := c.consume(p); err != nil && err != frame.ErrTaken {
		t.finish(c, err)
	}
	return true
}

// Kicked implements evloop.Handler: it is what interrupt leads to.
func (h *looped) Kicked() { h.transport().finish((*Conn)(h), errInterrupted) }

// Writable implements evloop.Handler.
func (h *looped) Writable() {
	c := (*Conn)(h)
	if c.pump() {
		c.t.wantWritable()
	}
}

// End implements evloop.Handler.
func (h *looped) End(err error) {
	c := (*Conn)(h)
	defer c.dismiss()
	defer c.afterCallbacks(func() { c.m.loops.leave(c) })
	defer c.release()
	var panicked *evloop.PanicError
	switch {
	case errors.As(err, &panicked): // a bug of ours
		err = c.crashed(panicked.Value, panicked.Stack)
	case errors.Is(err, evloop.ErrGoexit):
		err = errExited
	}
	h.transport().finish(c, err)
}

func (t *loopTransport) read(func([]byte) error) error { return errors.ErrUnsupported } // the loop does

func (t *loopTransport) tryWrite(p []byte) (int, error) { return t.Write(p) }
func (t *loopTransport) triesWrites() bool              { return true }

func (t *loopTransport) wantWritable() bool {
	_ = t.WantWritable() // an error means that the end is coming
	return true
}

func (t *loopTransport) awaitWritable() error              { return errors.ErrUnsupported }
func (t *loopTransport) write([]byte, func()) (int, error) { return 0, errors.ErrUnsupported }

func (t *loopTransport) interrupt()           { t.Kick() }
func (t *loopTransport) resume()              {}
func (t *loopTransport) take() (driver, bool) { return t, t.Take() }
func (t *loopTransport) closeWrite() error    { return t.CloseWrite() }
func (t *loopTransport) close() error         { t.Shut(); return nil }

func (t *loopTransport) remoteAddr() net.Addr {
	addr := netip.AddrFrom16(t.addr)
	if t.is4 {
		addr = addr.Unmap()
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, t.port))
}
