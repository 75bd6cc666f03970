//go:build linux

package load

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"
)

// patience is the longest time without an event.
const patience = 20 * time.Second

// atOnce is the number of simultaneous handshakes.
const atOnce = 64

const (
	upgraded = "HTTP/1.1 101 "                // the beginning of a successful answer
	accept   = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" // the answer to the key of RFC 6455 section 1.3
)

// loop owns the connections of a client. One goroutine uses it.
type loop struct {
	to        unix.SockaddrInet4
	handshake []byte
	epfd      int
	all       []*connection
	byFD      []*connection
	events    [1024]unix.EpollEvent
	buf       []byte
	batch     []byte // answers to the messages of one read

	// message is called for each message. Bytes that it appends to batch are sent to the
	// same connection.
	message func(c *connection, payload []byte) error

	open       int
	opening    int
	eventCount uint64
}

type connection struct {
	fd      int
	open    bool
	in, out []byte // an incomplete frame; bytes that the socket did not accept
	next    uint64 // number of the next message
}

// newLoop returns a client for the server at addr. It locks the goroutine to its thread
// until close.
func newLoop(addr, path string) (*loop, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	if !ap.Addr().Is4() {
		return nil, fmt.Errorf("load: %s is not an IPv4 address", addr)
	}
	l := &loop{
		to:   unix.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()},
		byFD: make([]*connection, 1<<16),
		buf:  make([]byte, readSize),
		// Headers like those of a browser, since servers may keep them.
		handshake: fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nOrigin: http://%[2]s\r\n"+
			"Connection: Upgrade\r\nPragma: no-cache\r\nCache-Control: no-cache\r\nUpgrade: websocket\r\n"+
			"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n"+
			"Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-US,en;q=0.9\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", path, addr),
		message: func(*connection, []byte) error { return errors.New("an unexpected message") },
	}
	if l.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	runtime.LockOSThread()
	return l, nil
}

func (l *loop) close() {
	for _, c := range l.all {
		_ = unix.Close(c.fd)
	}
	_ = unix.Close(l.epfd)
	runtime.UnlockOSThread()
}

// dial opens connections until there are n.
func (l *loop) dial(n int) error {
	return l.until(func() bool { return l.open == n }, func() error {
		for l.opening < atOnce && l.open+l.opening < n {
			if err := l.connect(); err != nil {
				return fmt.Errorf("load: connection %d: %w", len(l.all), err)
			}
		}
		return nil
	})
}

func (l *loop) connect() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	c := &connection{fd: fd}
	l.all = append(l.all, c) // close closes it
	if fd >= len(l.byFD) {
		return errors.New("too many descriptors")
	}
	l.byFD[fd] = c
	// Several source addresses, because each has some 28,000 ports. Linger 0 resets the
	// connection at the end, so that its port is free at once.
	from := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(2 + len(l.all)%4)}}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}),
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1),
		unix.Bind(fd, from),
		unix.Connect(fd, &l.to), // blocks for a short time only over loopback
		unix.SetNonblock(fd, true),
		unix.EpollCtl(l.epfd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}),
	)
	if err != nil {
		return err
	}
	l.opening++
	return l.send(c, l.handshake)
}

// until handles events until done returns true. It calls prepare, which may be nil, before
// each wait.
func (l *loop) until(done func() bool, prepare func() error) error {
	count, last := l.eventCount, time.Now()
	for !done() {
		if prepare != nil {
			if err := prepare(); err != nil {
				return err
			}
		}
		if err := l.poll(100 * time.Millisecond); err != nil {
			return err
		}
		if l.eventCount != count {
			count, last = l.eventCount, time.Now()
		} else if time.Since(last) > patience {
			return fmt.Errorf("load: no event for %v; %d connections are open", patience, l.open)
		}
	}
	return nil
}

// rest handles events for a duration.
func (l *loop) rest(d time.Duration) error {
	for end := time.Now().Add(d); ; {
		left := time.Until(end)
		if left <= 0 {
			return nil
		}
		if err := l.poll(left); err != nil {
			return err
		}
	}
}

// poll waits at most d for events and handles them.
func (l *loop) poll(d time.Duration) error {
	n, err := unix.EpollWait(l.epfd, l.events[:], int((d+time.Millisecond-1)/time.Millisecond))
	if err != nil && err != unix.EINTR {
		return err
	}
	for i := range max(n, 0) {
		l.eventCount++
		c := l.byFD[l.events[i].Fd]
		if err := l.handle(c, l.events[i].Events); err != nil {
			return fmt.Errorf("load: connection %d: %w", slices.Index(l.all, c), err)
		}
	}
	return nil
}

func (l *loop) handle(c *connection, events uint32) error {
	if events&unix.EPOLLOUT != 0 {
		out := c.out
		c.out = nil
		if err := l.send(c, out); err != nil {
			return err
		}
		if c.out == nil {
			if err := l.watch(c, unix.EPOLLIN); err != nil {
				return err
			}
		}
	}
	if events&^unix.EPOLLOUT == 0 {
		return nil
	}
	kept := copy(l.buf, c.in)
	n, err := unix.Read(c.fd, l.buf[kept:])
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return nil
	case err != nil:
		return err
	case n == 0:
		return errors.New("the server has closed the connection")
	}
	p := l.buf[:kept+n]
	if !c.open {
		if p, err = l.answered(c, p); err != nil {
			return err
		}
	}
	l.batch = l.batch[:0]
	for c.open {
		op, payload, length, err := Next(p)
		if err != nil {
			return err
		}
		if length == 0 {
			break
		}
		p = p[length:]
		switch op {
		case ws.OpBinary:
			err = l.message(c, payload)
		case ws.OpPing:
			l.batch = append(l.batch, ws.MustCompileFrame(ws.MaskFrameWith(ws.NewPongFrame(slices.Clone(payload)), mask))...)
		default:
			err = fmt.Errorf("a frame with opcode %#x: %.100q", op, payload)
		}
		if err != nil {
			return err
		}
	}
	c.in = nil
	if len(p) > 0 {
		c.in = slices.Clone(p)
	}
	if len(l.batch) > 0 {
		return l.send(c, l.batch)
	}
	return nil
}

// answered checks the answer to the handshake and returns the bytes after it.
func (l *loop) answered(c *connection, p []byte) ([]byte, error) {
	head, rest, whole := bytes.Cut(p, []byte("\r\n\r\n"))
	if !whole {
		return p, nil
	}
	if !bytes.HasPrefix(head, []byte(upgraded)) || !bytes.Contains(head, []byte(accept)) {
		return nil, fmt.Errorf("the handshake was answered with %.200q", p)
	}
	c.open = true
	l.opening--
	l.open++
	return rest, nil
}

// send writes, and keeps the bytes that the socket does not accept.
func (l *loop) send(c *connection, p []byte) error {
	if c.out != nil {
		c.out = append(c.out, p...)
		return nil
	}
	n, err := unix.Write(c.fd, p)
	if err == unix.EAGAIN {
		n = 0
	} else if err != nil {
		return err
	}
	if n < len(p) {
		c.out = slices.Clone(p[n:])
		return l.watch(c, unix.EPOLLIN|unix.EPOLLOUT)
	}
	return nil
}

func (l *loop) watch(c *connection, events uint32) error {
	return unix.EpollCtl(l.epfd, unix.EPOLL_CTL_MOD, c.fd, &unix.EpollEvent{Events: events, Fd: int32(c.fd)})
}
