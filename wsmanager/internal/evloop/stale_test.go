//go:build linux

package evloop_test

import (
	"io"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/evloop"
)

// An event for an earlier socket with the same descriptor does not affect the present one.
func TestStaleGeneration(t *testing.T) {
	l := newLoop(t, evloop.Options{})
	first := &conn{}
	client := add(t, l, first)
	fd, gen := first.Descriptor()
	client.Close()
	require.Equal(t, io.EOF, await(t, first.ended))
	eventually(t, func() bool { return l.Stats().Sockets == 0 }, "it is gone")

	var calls atomic.Int32
	second := &conn{writable: func(*conn) { calls.Add(1) }}
	server, client := pair(t)
	defer client.Close()
	if server != fd {
		require.NoError(t, syscall.Dup3(server, fd, syscall.O_CLOEXEC))
		require.NoError(t, syscall.Close(server))
	}
	second.ended = make(chan error, 1)
	require.NoError(t, l.Add(fd, second, &second.Socket))
	_, own := second.Descriptor()
	require.NotEqual(t, gen, own)
	_, err := second.Write(make([]byte, 8<<20)) // the socket is not writable now
	require.NoError(t, err)
	require.NoError(t, second.WantWritable())

	other := add(t, l, echo())
	inject := func(gen uint32) {
		l.Inject(fd, gen, syscall.EPOLLOUT)
		l.Inject(fd, gen, syscall.EPOLLIN|syscall.EPOLLOUT|syscall.EPOLLHUP|syscall.EPOLLERR|evloop.KickEvent)
		send(t, other, "x") // served after the injected event
		receive(t, other, 1)
	}
	inject(gen)
	require.Zero(t, calls.Load(), "an event of the first socket")
	inject(own)
	eventually(t, func() bool { return calls.Load() > 0 }, "an event of its own")
	l.Inject(1<<30, 1, syscall.EPOLLIN) // of a descriptor without a socket
	inject(gen)
	second.Shut()
	require.Equal(t, evloop.ErrShut, await(t, second.ended))
}

// Events that the kernel did not send do not harm their own sockets.
func TestSpuriousEvents(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t, evloop.Options{})
			var b backlog
			c := &conn{writable: b.flush, reply: b.send}
			client, release := inMode(t, l, c, mode)
			fd, gen := c.Descriptor()
			for _, events := range []uint32{
				syscall.EPOLLIN, syscall.EPOLLOUT, syscall.EPOLLHUP, syscall.EPOLLERR, evloop.KickEvent, 0,
				syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP,
			} {
				l.Inject(fd, gen, events)
			}
			b.send(c, make([]byte, 4<<20))
			for range 100 {
				l.Inject(fd, gen, syscall.EPOLLIN)
				l.Inject(fd, gen, syscall.EPOLLOUT)
				l.Inject(fd, gen, evloop.KickEvent)
			}
			require.Len(t, receive(t, client, 4<<20), 4<<20)
			release()
			if mode == evloop.Detached {
				receive(t, client, 1)
			}
			send(t, client, "x")
			require.Equal(t, "x", receive(t, client, 1))
			client.Close()
			require.Equal(t, io.EOF, await(t, c.ended))
		})
	}
}
