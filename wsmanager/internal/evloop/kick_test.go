//go:build linux

package evloop_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/evloop"
)

func TestKick(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t, evloop.Options{})
			calls := make(chan struct{}, 100)
			c := &conn{kick: func(*conn) { calls <- struct{}{} }}
			client, release := inMode(t, l, c, mode)
			c.Kick()
			if mode == evloop.Detached {
				c.Kick()
				time.Sleep(10 * time.Millisecond) // a call that must not come yet would come now
				require.Empty(t, calls, "Kicked overlaps Data")
				release()
			}
			await(t, calls)
			c.Kick()
			await(t, calls)
			eventually(t, func() bool { return c.Mode() != evloop.Detached }, "it is handed back")
			if mode == evloop.Detached {
				receive(t, client, 1)
			}
			send(t, client, "x")
			require.Equal(t, "x", receive(t, client, 1))
			require.Empty(t, calls, "one call for all kicks before it")
		})
	}
}

func TestKickFromItsOwnHandler(t *testing.T) {
	l := newLoop(t, evloop.Options{})
	var kicks atomic.Int32
	c := &conn{
		data: func(c *conn, _ []byte) bool { c.Kick(); return true },
		kick: func(c *conn) {
			if kicks.Add(1) == 3 {
				c.Shut()
			} else {
				c.Kick()
			}
		},
	}
	send(t, add(t, l, c), "x")
	require.Equal(t, evloop.ErrShut, await(t, c.ended))
	require.EqualValues(t, 3, kicks.Load())
}

func TestKickManyThatAreSilent(t *testing.T) {
	l := newLoop(t, evloop.Options{})
	const n = 500
	conns := make([]*conn, n)
	for i := range conns {
		conns[i] = &conn{kick: (*conn).shut}
		add(t, l, conns[i])
	}
	for _, c := range conns {
		c.Kick()
	}
	for _, c := range conns {
		require.Equal(t, evloop.ErrShut, await(t, c.ended))
	}
	require.LessOrEqual(t, l.Stats().Goroutines, n+1)
}

func (c *conn) shut() { c.Shut() }

func TestKickedMayBlock(t *testing.T) {
	l := newLoop(t, evloop.Options{})
	gate, entered := make(chan struct{}), make(chan struct{})
	c := echo()
	c.kick = func(*conn) { close(entered); <-gate }
	client := add(t, l, c)
	other := add(t, l, echo())
	c.Kick()
	await(t, entered)
	send(t, client, "later")
	send(t, other, "hello")
	require.Equal(t, "hello", receive(t, other, 5))
	close(gate)
	require.Equal(t, "later", receive(t, client, 5))
}
