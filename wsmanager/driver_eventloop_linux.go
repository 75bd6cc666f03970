package wsmanager

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/speakingtube/speakingtube/wsmanager/internal/evloop"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// eventLoopTransport is the transport of a connection in an event loop, and its driver. It
// is a transport.WritableNotifier. It is not a transport.Reader: the loop reads.
type eventLoopTransport struct {
	socket evloop.Socket

	addr [16]byte // of the peer; netip.AddrPort would take twice the bytes
	port uint16   // of the peer
	is4  bool     // addr is an IPv4 address

	finished bool // for the application; bytes that still arrive are discarded
}

// addressedLoopTransport is an eventLoopTransport whose address does not fit its fields:
// one with a zone, or one that the socket does not know.
type addressedLoopTransport struct {
	*eventLoopTransport
	remote net.Addr
}

func (t *addressedLoopTransport) RemoteAddr() net.Addr { return t.remote }

// newLoopTransport moves the plain TCP connection of c into a loop: its descriptor is
// duplicated, and the net.Conn is closed.
func (m *Manager) newLoopTransport(c *Conn, conn net.Conn) (transport.Transport, driver, error) {
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
	t := &eventLoopTransport{}
	if err := m.loops.AddOwned(fd, (*eventHandler)(c), &t.socket); err != nil {
		_ = syscall.Close(fd) // the connection goes on in its net.Conn
		return nil, nil, err
	}
	_ = conn.Close() // the connection goes on in its duplicate
	remote := conn.RemoteAddr()
	if remote == nil {
		remote = c.RemoteAddr()
	}
	peer, ok := remote.(*net.TCPAddr)
	if !ok || peer.Zone != "" {
		return &addressedLoopTransport{t, remote}, t, nil
	}
	addr := peer.AddrPort()
	t.addr, t.port, t.is4 = addr.Addr().As16(), addr.Port(), addr.Addr().Is4()
	return t, t, nil
}

var _ transport.WritableNotifier = (*eventLoopTransport)(nil)

func (t *eventLoopTransport) start(c *Conn, early []byte) {
	if c.m.callbacks.OnConnect == nil && len(early) == 0 {
		logStart(c)
		t.socket.Release()
		return
	}
	go t.own(c, 0, func() error { return c.session().open(early) })
}

func (t *eventLoopTransport) serve(c *Conn, early []byte) {
	left := c.m.loops.Left(&t.socket)
	t.start(c, early)
	<-left
}

func (t *eventLoopTransport) readOn(c *Conn, rest []byte, tenure uint32) {
	t.own(c, tenure, func() error { return c.session().feed(rest) })
}

// own opens the connection, or feeds it bytes that were read already, and gives it to the
// loop, unless another reader has replaced this one.
func (t *eventLoopTransport) own(c *Conn, tenure uint32, open func() error) {
	defer func() { // also if OnClose ends the goroutine
		if !c.in.dispatch.replaced((*callbackHost)(c), tenure) {
			t.socket.Release()
		}
	}()
	err := errExited
	defer func() {
		if v := recover(); v != nil { // a bug of this package: panics of callbacks are recovered earlier
			err = c.session().panicked(v)
		}
		if err != nil && !c.in.dispatch.replaced((*callbackHost)(c), tenure) {
			t.finish(c, err)
		}
	}()
	err = open()
}

// finish ends the connection for the application, once.
func (t *eventLoopTransport) finish(c *Conn, err error) {
	if !t.finished {
		t.finished = true
		c.session().finish(err)
	}
}

// eventHandler is a Conn in its role as the handler of its socket. The loop makes one call
// at a time, with two exceptions: Writable may run at the same time as another method, and
// any method at the same time as a Data from which the socket was taken.
type eventHandler Conn

func (h *eventHandler) transport() *eventLoopTransport {
	if t, ok := h.out.transport.(*addressedLoopTransport); ok {
		return t.eventLoopTransport
	}
	return h.out.transport.(*eventLoopTransport)
}

// Space implements evloop.Handler.
func (h *eventHandler) Space() []byte { return h.in.space() }

// Data implements evloop.Handler.
func (h *eventHandler) Data(p []byte) bool {
	t, c := h.transport(), (*Conn)(h)
	if t.finished {
		c.session().discard(p) // until the peer has answered or closed its direction, or Timeouts.Close has passed
		return true
	}
	if err := c.session().consume(p); err != nil && err != frame.ErrTaken {
		t.finish(c, err)
	}
	return true
}

// Kicked implements evloop.Handler. Interrupt leads to this call.
func (h *eventHandler) Kicked() { h.transport().finish((*Conn)(h), transport.ErrInterrupted) }

// Writable implements evloop.Handler.
func (h *eventHandler) Writable() {
	if h.out.pump((*session)(h)) {
		h.transport().NotifyWritable()
	}
}

// End implements evloop.Handler.
func (h *eventHandler) End(err error) {
	t, c := h.transport(), (*Conn)(h)
	defer c.session().released()
	defer c.in.dispatch.afterCallbacks((*callbackHost)(c), func() { c.m.loops.Leave(&t.socket) })
	defer c.session().release()
	var panicked *evloop.PanicError
	switch {
	case errors.As(err, &panicked): // a bug of this package
		err = c.session().panickedAt(panicked.Value, panicked.Stack)
	case errors.Is(err, evloop.ErrGoexit):
		err = errExited
	}
	t.finish(c, err)
}

// TryWrite implements transport.TryWriter.
func (t *eventLoopTransport) TryWrite(p []byte) (int, error) { return t.socket.Write(p) }

// NotifyWritable implements transport.WritableNotifier.
func (t *eventLoopTransport) NotifyWritable() {
	_ = t.socket.WantWritable() // an error means that the loop is about to call End
}

// Interrupt implements transport.Transport. The loop calls Kicked.
func (t *eventLoopTransport) Interrupt() error {
	t.socket.Kick()
	return nil
}

// Close implements transport.Transport. The loop calls End afterwards.
func (t *eventLoopTransport) Close() error { t.socket.Shut(); return nil }

// CloseWrite implements transport.Transport.
func (t *eventLoopTransport) CloseWrite() error { return t.socket.CloseWrite() }

// RemoteAddr implements transport.Transport.
func (t *eventLoopTransport) RemoteAddr() net.Addr {
	addr := netip.AddrFrom16(t.addr)
	if t.is4 {
		addr = addr.Unmap()
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, t.port))
}

// take implements takeable.
func (t *eventLoopTransport) take() (driver, bool) { return t, t.socket.Take() }
