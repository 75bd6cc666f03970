//go:build linux

package evloop_test

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/evloop"
)

// backlog does as a user of Write should: it keeps the bytes that the kernel did not
// accept, and writes them in Writable.
type backlog struct {
	mu   sync.Mutex
	rest []byte
}

func (b *backlog) send(c *conn, p []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	if len(b.rest) == 0 {
		n, _ = c.Write(p) // End reports errors
	}
	if b.rest = append(b.rest, p[n:]...); len(b.rest) > 0 {
		_ = c.WantWritable()
	}
}

func (b *backlog) flush(c *conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, _ := c.Write(b.rest)
	if b.rest = b.rest[n:]; len(b.rest) > 0 {
		_ = c.WantWritable()
	}
}

func (b *backlog) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.rest)
}

func TestBacklog(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t, evloop.Options{})
			var b backlog
			var calls atomic.Int32
			c := &conn{}
			client, release := inMode(t, l, c, mode)
			c.set(func() { c.writable = func(c *conn) { calls.Add(1); b.flush(c) } })
			all := make([]byte, 4<<20)
			for i := range all {
				all[i] = byte(i * 7 >> 5)
			}
			b.send(c, all)
			require.NotZero(t, b.len(), "more than the kernel takes")
			require.Equal(t, mode, c.Mode())

			got := receive(t, client, len(all))
			require.True(t, bytes.Equal(all, []byte(got)))
			require.Positive(t, calls.Load())
			require.Equal(t, mode, c.Mode(), "a detached handler runs all the time")

			release()
			if mode == evloop.Detached {
				require.Equal(t, "b", receive(t, client, 1))
			}
			send(t, client, "x")
			require.Equal(t, "x", receive(t, client, 1), "it still reads")
			client.Close()
			require.Equal(t, io.EOF, await(t, c.ended))
		})
	}
}

// Bytes arrive while there is a backlog: both make progress, in each mode.
func TestBacklogAndBytes(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t, evloop.Options{})
			var b backlog
			c := &conn{writable: b.flush, reply: b.send}
			client, release := inMode(t, l, c, mode)
			const size = 4 << 20
			b.send(c, make([]byte, size))
			send(t, client, "b") // the handler blocks, if its gate is not open yet
			if mode == evloop.Inline {
				eventually(t, func() bool { return c.Mode() == evloop.Detached }, "the watchdog detaches it")
			}
			require.Len(t, receive(t, client, size), size)
			release()
			want := 1
			if mode == evloop.Detached {
				want = 2 // one more: inMode's
			}
			require.Len(t, receive(t, client, want), want)
		})
	}
}

// A slow socket with a backlog gets an event, and its handler blocks: the event has used up
// the registration, which the backlog still needs.
func TestBacklogOfASlowSocketWhoseHandlerBlocks(t *testing.T) {
	l := newLoop(t, evloop.Options{})
	var b backlog
	c := &conn{writable: b.flush, reply: b.send}
	client, _ := inMode(t, l, c, evloop.Slow)
	gate, entered := make(chan struct{}), make(chan struct{}, 1)
	c.set(func() { c.data = scripted(gate, entered).data })
	const size = 4 << 20
	b.send(c, make([]byte, size))
	send(t, client, "b")
	await(t, entered)
	require.Len(t, receive(t, client, size), size)
	require.Equal(t, evloop.Detached, c.Mode())
	close(gate)
	require.Equal(t, "b", receive(t, client, 1))
}

// A leader whose Writable blocks, which it must not, is deposed too. No second Writable
// runs meanwhile.
func TestWritableIsNotBesideItself(t *testing.T) {
	l := newLoop(t, evloop.Options{})
	calls := make(chan int, 10)
	gate := make(chan struct{})
	n := 0
	c := &conn{writable: func(c *conn) {
		n++
		calls <- n
		if n == 1 {
			_ = c.WantWritable()
			<-gate
		}
	}}
	add(t, l, c)
	require.NoError(t, c.WantWritable())
	require.Equal(t, 1, await(t, calls))
	other := add(t, l, echo())
	fd, gen := c.Descriptor()
	for range 5 {
		l.Inject(fd, gen, syscall.EPOLLOUT)
		send(t, other, "x")
		receive(t, other, 1)
	}
	require.Empty(t, calls)
	close(gate)
	require.Equal(t, 2, await(t, calls), "it was wanted")
}

func TestWantWritableAtOnce(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t, evloop.Options{})
			called := make(chan struct{}, 100)
			again := true
			c := &conn{writable: func(c *conn) {
				if again {
					again = false
					_ = c.WantWritable()
				}
				called <- struct{}{}
			}}
			_, _ = inMode(t, l, c, mode)
			require.NoError(t, c.WantWritable())
			await(t, called)
			await(t, called)
			time.Sleep(20 * time.Millisecond) // unwanted calls would come now
			require.Empty(t, called)
		})
	}
}

// The peer closes while there is a backlog and the handler runs: Writable and Write report
// it, and the owner ends the socket when the handler returns.
func TestFailureDuringDetachment(t *testing.T) {
	l := newLoop(t, evloop.Options{})
	gate, entered := make(chan struct{}), make(chan struct{}, 1)
	server, client := tcpPair(t)
	c := scripted(gate, entered)
	c.ended = make(chan error, 1)
	failed := make(chan error, 100)
	var b backlog
	c.writable = func(c *conn) {
		if _, err := c.Write([]byte("x")); err != nil {
			failed <- err
			return
		}
		b.flush(c)
	}
	require.NoError(t, l.Add(server, c, &c.Socket))
	send(t, client, "b")
	await(t, entered)
	eventually(t, func() bool { return c.Mode() == evloop.Detached }, "the watchdog detaches it")
	b.send(c, make([]byte, 16<<20))
	require.NoError(t, client.(*net.TCPConn).SetLinger(0))
	client.Close()
	require.Error(t, await(t, failed))
	require.Empty(t, c.ended)
	close(gate)
	require.Error(t, await(t, c.ended))
}

// End waits for a Writable that runs on another goroutine. That goroutine then calls End.
func TestEndIsNotBesideWritable(t *testing.T) {
	l := newLoop(t, evloop.Options{})
	inWritable, gate := make(chan struct{}), make(chan struct{})
	late := make(chan error, 1)
	c := &conn{writable: func(c *conn) {
		close(inWritable)
		<-gate
		late <- c.WantWritable()
	}}
	client, release := inMode(t, l, c, evloop.Detached)
	require.NoError(t, c.WantWritable())
	await(t, inWritable)
	other := add(t, l, echo())
	send(t, other, "x")
	receive(t, other, 1) // the leader in Writable has been deposed: it is not the owner
	c.Shut()
	release()
	eventually(t, c.Ending, "the owner is done with it")
	require.Empty(t, c.ended)
	close(gate)
	require.ErrorIs(t, await(t, late), evloop.ErrClosed)
	require.Equal(t, evloop.ErrShut, await(t, c.ended))
	client.Close()
	eventually(t, func() bool { return l.Stats().Sockets == 1 }, "it is gone")
}

func TestWritev(t *testing.T) {
	l := newLoop(t, evloop.Options{})
	c := &conn{}
	client := add(t, l, c)
	bufs := [][]byte{nil}
	want := ""
	for i := range 200 {
		p := bytes.Repeat([]byte{byte('a' + i%26)}, i%7)
		bufs = append(bufs, p)
		want += string(p)
	}
	n, err := c.Writev(bufs)
	require.NoError(t, err)
	require.Equal(t, len(want), n)
	require.Equal(t, want, receive(t, client, n))
	n, err = c.Writev([][]byte{nil, {}})
	require.NoError(t, err)
	require.Zero(t, n)

	big := make([]byte, 8<<20)
	n, err = c.Writev([][]byte{big, big})
	require.NoError(t, err)
	require.Less(t, n, len(big))
	n, err = c.Write(big)
	require.NoError(t, err)
	require.Zero(t, n, "0 without an error is a valid result")
}
