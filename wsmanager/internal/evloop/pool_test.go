//go:build linux

package evloop_test

import (
	"context"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/evloop"
)

// newPool makes a Pool that must have no loops after the test.
func newPool(t *testing.T) *evloop.Pool {
	t.Helper()
	p, err := evloop.NewPool(evloop.Options{Logf: func(format string, args ...any) { t.Errorf(format, args...) }})
	require.NoError(t, err)
	return p
}

// The loops of a pool end with its last socket, and new ones start with the next.
func TestPoolHasLoopsWhileItHasSockets(t *testing.T) {
	p := newPool(t)
	before := runtime.NumGoroutine()
	for range 3 {
		var conns []*conn
		for range 5 {
			server, client := pair(t)
			c := echo()
			c.ended = make(chan error, 1)
			require.NoError(t, p.AddOwned(server, c, &c.Socket))
			left := p.Left(&c.Socket)
			c.set(func() {
				c.end = func(c *conn, _ error) { p.Leave(&c.Socket) }
			})
			c.Release()
			send(t, client, "hello")
			require.Equal(t, "hello", receive(t, client, 5))
			conns = append(conns, c)
			t.Cleanup(func() {
				<-left
				client.Close()
			})
		}
		for _, c := range conns {
			select {
			case err := <-c.ended:
				t.Fatal("a socket has ended:", err)
			default:
			}
			c.Shut()
			require.Equal(t, evloop.ErrShut, await(t, c.ended))
		}
		p.Wait(t.Context())
		eventually(t, func() bool { return runtime.NumGoroutine() <= before }, "the loops' goroutines are gone")
	}
}

// A socket that can't be added does not count, and its descriptor is still the caller's.
func TestPoolForgetsSocketsThatFail(t *testing.T) {
	p := newPool(t)
	c := echo()
	require.ErrorIs(t, p.AddOwned(1<<20, c, &c.Socket), syscall.EBADF)
	p.Wait(t.Context()) // its loops have ended
}

func TestPoolWaitEndsWithItsContext(t *testing.T) {
	p := newPool(t)
	server, client := pair(t)
	defer client.Close()
	c := echo()
	c.ended = make(chan error, 1)
	proceed := make(chan struct{})
	c.end = func(c *conn, _ error) {
		p.Leave(&c.Socket) // closes the loop, which has not removed the socket yet
		<-proceed
	}
	require.NoError(t, p.AddOwned(server, c, &c.Socket))
	left := p.Left(&c.Socket)
	c.Shut()
	c.Release()
	<-left
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.Wait(ctx)
	close(proceed)
	require.Equal(t, evloop.ErrShut, await(t, c.ended))
	p.Wait(t.Context())
	(*evloop.Pool)(nil).Wait(t.Context())
}
