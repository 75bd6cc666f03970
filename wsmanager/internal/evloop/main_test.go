//go:build linux

package evloop_test

import (
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/evloop"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestMain(m *testing.M) { wstest.Main(m) }

// patience is the maximum time that a test waits for an event that should come at once.
const patience = wstest.Patience

// conn is a handler made of functions; a nil function does nothing. The race detector sees
// no order through the kernel, so set changes the functions under a mutex after Add.
type conn struct {
	evloop.Socket
	ended chan error // gets End's error

	mu       sync.Mutex
	space    []byte
	data     func(c *conn, p []byte) bool
	reply    func(c *conn, p []byte) // answer of a scripted handler; nil: Write
	kick     func(c *conn)
	writable func(c *conn)
	end      func(c *conn, err error)
}

func (c *conn) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (c *conn) Data(p []byte) bool {
	c.mu.Lock()
	data := c.data
	c.mu.Unlock()
	return data == nil || data(c, p)
}

func (c *conn) Space() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.space
}

func (c *conn) Kicked() {
	c.mu.Lock()
	kick := c.kick
	c.mu.Unlock()
	if kick != nil {
		kick(c)
	}
}

func (c *conn) Writable() {
	c.mu.Lock()
	writable := c.writable
	c.mu.Unlock()
	if writable != nil {
		writable(c)
	}
}

func (c *conn) End(err error) {
	c.mu.Lock()
	end := c.end
	c.mu.Unlock()
	if end != nil {
		end(c, err)
	}
	c.ended <- err
}

// echo returns a conn that sends back the bytes that it gets, as far as the kernel accepts
// them.
func echo() *conn {
	return &conn{data: func(c *conn, p []byte) bool {
		_, _ = c.Write(p) // the client notices missing bytes
		return true
	}}
}

// newLoop makes a Loop that must be gone after the test.
func newLoop(t testing.TB, opts evloop.Options) *evloop.Loop {
	t.Helper()
	if opts.Logf == nil {
		opts.Logf = func(format string, args ...any) { t.Errorf(format, args...) }
	}
	l, err := evloop.New(opts)
	require.NoError(t, err)
	t.Cleanup(func() { closeLoop(t, l) })
	return l
}

func closeLoop(t testing.TB, l *evloop.Loop) {
	t.Helper()
	require.NoError(t, l.Close())
	select {
	case <-l.Done():
	case <-time.After(patience):
		t.Fatalf("the loop does not end: %+v", l.Stats())
	}
}

// add adds c to l and returns the other side. Both are closed after the test.
func add(t testing.TB, l *evloop.Loop, c *conn) net.Conn {
	t.Helper()
	server, client := pair(t)
	c.ended = make(chan error, 1)
	require.NoError(t, l.Add(server, c, &c.Socket))
	t.Cleanup(func() {
		client.Close()
		c.Shut()
	})
	return client
}

// pair returns a descriptor and a net.Conn for its other side, over a Unix socket.
func pair(t testing.TB) (int, net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	f := os.NewFile(uintptr(fds[1]), "client")
	defer f.Close()
	client, err := net.FileConn(f)
	require.NoError(t, err)
	return fds[0], client
}

// tcpPair is pair over loopback TCP.
func tcpPair(t testing.TB) (int, net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	server, err := ln.Accept()
	require.NoError(t, err)
	defer server.Close()
	return duplicate(t, server.(*net.TCPConn)), client
}

// duplicate returns a new descriptor for the socket of c.
func duplicate(t testing.TB, c *net.TCPConn) int {
	t.Helper()
	raw, err := c.SyscallConn()
	require.NoError(t, err)
	var fd uintptr
	var errno syscall.Errno
	require.NoError(t, raw.Control(func(from uintptr) {
		fd, _, errno = syscall.Syscall(syscall.SYS_FCNTL, from, syscall.F_DUPFD_CLOEXEC, 0)
	}))
	require.Zero(t, errno)
	return int(fd)
}

// await returns the next value of ch, and fails the test after patience.
func await[T any](t testing.TB, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatal("nothing is received")
	}
	return v
}

// eventually polls for a state that has no notification.
func eventually(t testing.TB, cond func() bool, what string) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within the time limit", what)
		}
	}
}

func send(t testing.TB, c net.Conn, text string) {
	t.Helper()
	_, err := c.Write([]byte(text))
	require.NoError(t, err)
}

func receive(t testing.TB, c net.Conn, n int) string {
	t.Helper()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	p := make([]byte, n)
	for got := 0; got < n; {
		m, err := c.Read(p[got:])
		require.NoError(t, err, "after %d of %d bytes", got, n)
		got += m
	}
	return string(p)
}
