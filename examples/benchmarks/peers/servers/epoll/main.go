//go:build linux

// Epoll is the lower limit for servers: the same bytes on the wire, moved by one thread with
// epoll and system calls. It is not a WebSocket server. It does not check the handshake,
// and trusts that frames are complete, masked and valid.
package main

import (
	"log"
	"net"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/speakingtube/speakingtube/examples/benchmarks/peers/internal/peer"
)

func main() { log.Fatal(serve(peer.Listen())) }

// thread serves all connections.
type thread struct {
	epfd  int
	conns []*connection // by descriptor
	group []*connection
	buf   []byte // shared by all reads
}

type connection struct {
	fd      int
	open    bool   // after the handshake
	member  bool   // of the group
	in, out []byte // an incomplete frame; bytes that the socket did not accept
}

func serve(ln *net.TCPListener) error {
	runtime.GOMAXPROCS(1)
	runtime.LockOSThread()
	file, err := ln.File()
	if err != nil {
		return err
	}
	defer file.Close() // a finalizer must not close the descriptor earlier
	listener := int(file.Fd())
	if err := unix.SetNonblock(listener, true); err != nil {
		return err
	}
	t := &thread{conns: make([]*connection, 1<<16), buf: make([]byte, 1<<20)}
	if t.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if err := t.watch(unix.EPOLL_CTL_ADD, listener, unix.EPOLLIN); err != nil {
		return err
	}
	events := make([]unix.EpollEvent, 1024)
	for {
		n, err := unix.EpollWait(t.epfd, events, -1)
		if err != nil && err != unix.EINTR {
			return err
		}
		for i := range max(n, 0) {
			if fd := int(events[i].Fd); fd == listener {
				if err := t.accept(listener); err != nil {
					return err
				}
			} else if c := t.conns[fd]; c != nil {
				t.handle(c, events[i].Events)
			}
		}
	}
}

func (t *thread) watch(op, fd int, events uint32) error {
	return unix.EpollCtl(t.epfd, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

func (t *thread) accept(listener int) error {
	for {
		fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			if err == unix.EAGAIN || err == unix.ECONNABORTED || err == unix.EINTR {
				return nil
			}
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return err
		}
		t.conns[fd] = &connection{fd: fd}
		if err := t.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN); err != nil {
			return err
		}
	}
}

func (t *thread) handle(c *connection, events uint32) {
	if events&unix.EPOLLOUT != 0 {
		out := c.out
		c.out = nil
		t.send(c, out)
		if c.out == nil {
			_ = t.watch(unix.EPOLL_CTL_MOD, c.fd, unix.EPOLLIN) // the descriptor is in the set
		}
	}
	if events&^unix.EPOLLOUT == 0 {
		return
	}
	kept := copy(t.buf, c.in)
	n, errno := call(unix.SYS_READ, c.fd, t.buf[kept:])
	if errno == unix.EAGAIN || errno == unix.EINTR {
		return
	}
	if errno != 0 || n == 0 {
		t.drop(c)
		return
	}
	rest := t.buf[:kept+n]
	if !c.open {
		if complete, member := handshake(rest); complete {
			c.open, c.member = true, member
			t.send(c, []byte(answer))
			rest = nil
			if member {
				t.group = append(t.group, c)
			}
		}
	}
	for frame, length := next(rest); c.open && frame != nil; frame, length = next(rest) {
		rest = rest[length:]
		if !c.member {
			t.send(c, frame)
			continue
		}
		for _, to := range t.group {
			t.send(to, frame)
		}
	}
	c.in = nil
	if len(rest) > 0 {
		c.in = slices.Clone(rest)
	}
}

// send writes, and keeps the bytes that the socket does not accept. The next read reports
// a broken connection.
func (t *thread) send(c *connection, p []byte) {
	if c.out != nil {
		c.out = append(c.out, p...)
		return
	}
	n, errno := call(unix.SYS_WRITE, c.fd, p)
	if errno != 0 && errno != unix.EAGAIN {
		return
	}
	if n < len(p) {
		c.out = slices.Clone(p[n:])
		_ = t.watch(unix.EPOLL_CTL_MOD, c.fd, unix.EPOLLIN|unix.EPOLLOUT) // the descriptor is in the set
	}
}

func (t *thread) drop(c *connection) {
	t.conns[c.fd] = nil
	if c.member {
		t.group = slices.DeleteFunc(t.group, func(m *connection) bool { return m == c })
	}
	_ = unix.Close(c.fd) // it also removes the descriptor from the set
}

// call reads or writes without notifying Go's scheduler, which costs more than some of
// these system calls.
func call(trap uintptr, fd int, p []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}
