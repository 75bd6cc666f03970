//go:build linux

package evloop_test

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/evloop"
)

func TestEcho(t *testing.T) {
	for name, pair := range map[string]func(testing.TB) (int, net.Conn){"unix": pair, "tcp": tcpPair} {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t, evloop.Options{})
			server, client := pair(t)
			c := echo()
			c.ended = make(chan error, 1)
			require.NoError(t, l.Add(server, c, &c.Socket))
			for range 100 {
				send(t, client, "hello")
				require.Equal(t, "hello", receive(t, client, 5))
			}
			require.Equal(t, 1, l.Stats().Sockets)
			client.Close()
			require.Equal(t, io.EOF, await(t, c.ended))
			eventually(t, func() bool { return l.Stats().Sockets == 0 }, "the socket is gone")
			_, err := c.Write([]byte("x"))
			require.ErrorIs(t, err, evloop.ErrClosed)
			require.ErrorIs(t, c.WantWritable(), evloop.ErrClosed)
			require.ErrorIs(t, c.CloseWrite(), evloop.ErrClosed)
			c.Kick()
			c.Shut()
		})
	}
}

// Bytes are read into the memory that the handler has for them.
func TestSpace(t *testing.T) {
	l := newLoop(t, evloop.Options{})
	server, client := pair(t)
	memory := make([]byte, 4)
	got := make(chan string, 10)
	c := &conn{ended: make(chan error, 1), space: memory}
	c.data = func(c *conn, p []byte) bool {
		got <- fmt.Sprintf("%s %v", p, &p[0] == &memory[0])
		c.set(func() { c.space = nil })
		return true
	}
	require.NoError(t, l.Add(server, c, &c.Socket))
	send(t, client, "hello, world")
	require.Equal(t, "hell true", await(t, got))
	require.Equal(t, "o, world false", await(t, got))
	client.Close()
	require.Equal(t, io.EOF, await(t, c.ended))
}

func TestSocketIsSmall(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(evloop.Socket{}), uintptr(64))
}

func TestNeverAddedSocket(t *testing.T) {
	var s evloop.Socket // its zero descriptor is the standard input
	_, err := s.Write([]byte("x"))
	require.ErrorIs(t, err, evloop.ErrClosed)
	_, err = s.Writev([][]byte{[]byte("x")})
	require.ErrorIs(t, err, evloop.ErrClosed)
	require.ErrorIs(t, s.WantWritable(), evloop.ErrClosed)
	require.ErrorIs(t, s.CloseWrite(), evloop.ErrClosed)
	s.Kick()
	s.Shut()
}

func TestAddRefuses(t *testing.T) {
	l := newLoop(t, evloop.Options{})
	server, client := pair(t)
	defer client.Close()
	c := echo()
	c.ended = make(chan error, 1)

	require.ErrorIs(t, l.Add(1<<20, c, &c.Socket), syscall.EBADF)
	file, err := syscall.Open("/proc/self/exe", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	require.NoError(t, err)
	require.ErrorIs(t, l.Add(file, c, &c.Socket), syscall.EPERM, "epoll takes no files")
	require.NoError(t, syscall.Close(file), "it is still the caller's")
	require.ErrorIs(t, l.Add(-1, c, &c.Socket), syscall.EBADF)

	require.NoError(t, l.Add(server, c, &c.Socket), "after a failure the Socket is unused again")
	require.ErrorIs(t, l.Add(server, c, &c.Socket), evloop.ErrAdded)
	require.NoError(t, l.Close())
	other := echo()
	require.ErrorIs(t, l.Add(server, other, &other.Socket), evloop.ErrClosed)
	send(t, client, "still")
	require.Equal(t, "still", receive(t, client, 5), "Close does not end sockets")
	c.Shut()
	require.Equal(t, evloop.ErrShut, await(t, c.ended))
	await(t, l.Done())
	require.NoError(t, l.Close(), "again")
}

func TestLoopCostsNothingBeforeTheFirstSocket(t *testing.T) {
	before, fd := runtime.NumGoroutine(), nextFD(t)
	loops := make([]*evloop.Loop, 100)
	for i := range loops {
		loops[i] = newLoop(t, evloop.Options{})
	}
	require.Equal(t, fd, nextFD(t))
	require.LessOrEqual(t, runtime.NumGoroutine(), before)
	for _, l := range loops {
		require.NoError(t, l.Close())
		await(t, l.Done())
	}
}

func TestLoopLeavesNothing(t *testing.T) {
	// The netpoller creates descriptors of its own with the first file.
	_, client := pair(t)
	client.Close()
	fd := nextFD(t)
	l := newLoop(t, evloop.Options{})
	clients, ended := make([]net.Conn, 50), make([]chan error, 50)
	for i := range clients {
		c := echo()
		clients[i] = add(t, l, c)
		ended[i] = c.ended
		send(t, clients[i], "x")
		receive(t, clients[i], 1)
	}
	eventually(t, func() bool { return l.Stats().Goroutines == 1 }, "the leader")
	eventually(t, l.WatchdogParked, "without work the timer stops")
	for i, c := range clients {
		c.Close()
		require.Equal(t, io.EOF, await(t, ended[i]))
	}
	closeLoop(t, l)
	require.Equal(t, 0, l.Stats().Sockets)
	eventually(t, func() bool { return l.Stats().Goroutines == 0 }, "the leader ends")
	eventually(t, func() bool { return nextFD(t) == fd }, "the descriptors are closed")
}

// A connection that has ended can be collected at once, although the loop still runs.
func TestEndedConnectionIsCollected(t *testing.T) {
	l := newLoop(t, evloop.Options{})
	var left atomic.Int32
	for range 10 {
		func() {
			server, client := pair(t)
			c := echo()
			c.ended = make(chan error, 1)
			left.Add(1)
			runtime.AddCleanup(c, func(n *atomic.Int32) { n.Add(-1) }, &left)
			require.NoError(t, l.Add(server, c, &c.Socket))
			send(t, client, "x")
			receive(t, client, 1)
			client.Close()
			require.Equal(t, io.EOF, await(t, c.ended))
		}()
	}
	eventually(t, func() bool { runtime.GC(); return left.Load() == 0 }, "they are collected")
}

// nextFD returns the lowest free descriptor.
func nextFD(t *testing.T) int {
	t.Helper()
	fd, err := syscall.Dup(0)
	require.NoError(t, err)
	require.NoError(t, syscall.Close(fd))
	return fd
}

func TestCloseFromHandlers(t *testing.T) {
	l := newLoop(t, evloop.Options{})
	c := &conn{
		data: func(*conn, []byte) bool { return l.Close() != nil },
		end:  func(*conn, error) { _ = l.Close() },
	}
	client := add(t, l, c)
	send(t, client, "x")
	require.Equal(t, evloop.ErrStopped, await(t, c.ended))
	await(t, l.Done())
}

func TestEndings(t *testing.T) {
	t.Run("Data returns false", func(t *testing.T) {
		l := newLoop(t, evloop.Options{})
		c := &conn{data: func(*conn, []byte) bool { return false }}
		send(t, add(t, l, c), "x")
		require.Equal(t, evloop.ErrStopped, await(t, c.ended))
	})
	t.Run("reset by the peer", func(t *testing.T) {
		l := newLoop(t, evloop.Options{})
		server, client := tcpPair(t)
		c := &conn{ended: make(chan error, 1)}
		require.NoError(t, l.Add(server, c, &c.Socket))
		require.NoError(t, client.(*net.TCPConn).SetLinger(0))
		client.Close()
		require.ErrorIs(t, await(t, c.ended), syscall.ECONNRESET)
	})
	t.Run("Shut by another goroutine", func(t *testing.T) {
		l := newLoop(t, evloop.Options{})
		c := &conn{}
		client := add(t, l, c)
		c.Shut()
		c.Shut()
		require.Equal(t, evloop.ErrShut, await(t, c.ended))
		_, err := client.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
	})
	t.Run("Shut while the peer keeps sending", func(t *testing.T) {
		l := newLoop(t, evloop.Options{})
		server, client := tcpPair(t)
		defer client.Close()
		var late atomic.Int32
		c := &conn{ended: make(chan error, 1)}
		c.data = func(c *conn, _ []byte) bool {
			late.Add(1)
			c.Shut()
			return true
		}
		require.NoError(t, l.Add(server, c, &c.Socket))
		go func() {
			for p := make([]byte, 1<<16); ; {
				if _, err := client.Write(p); err != nil {
					return
				}
			}
		}()
		require.Equal(t, evloop.ErrShut, await(t, c.ended))
		require.EqualValues(t, 1, late.Load(), "Data after Shut")
	})
	t.Run("Shut and written in End", func(t *testing.T) {
		l := newLoop(t, evloop.Options{})
		c := &conn{
			data: func(*conn, []byte) bool { return false },
			end: func(c *conn, _ error) {
				_, _ = c.Write([]byte("bye"))
				_, _ = c.Writev([][]byte{[]byte(" "), nil, []byte("bye")})
				_ = c.CloseWrite()
				_ = c.CloseWrite()
				c.Shut()
				c.Kick()
			},
		}
		client := add(t, l, c)
		send(t, client, "x")
		require.Equal(t, "bye bye", receive(t, client, 7))
		require.Equal(t, evloop.ErrStopped, await(t, c.ended))
	})
}

func TestCloseWrite(t *testing.T) {
	l := newLoop(t, evloop.Options{})
	got := make(chan string, 1)
	c := &conn{data: func(_ *conn, p []byte) bool { got <- string(p); return true }}
	client := add(t, l, c)
	_, err := c.Write([]byte("last"))
	require.NoError(t, err)
	require.NoError(t, c.CloseWrite())
	all, err := io.ReadAll(client)
	require.NoError(t, err)
	require.Equal(t, "last", string(all))
	_, err = c.Write([]byte("x"))
	require.ErrorIs(t, err, syscall.EPIPE)
	send(t, client, "the other way")
	require.Equal(t, "the other way", await(t, got))
	client.Close()
	require.Equal(t, io.EOF, await(t, c.ended))
}
