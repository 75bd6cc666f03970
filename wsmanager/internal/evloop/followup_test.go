//go:build linux

package evloop_test

import (
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/evloop"
)

// followed returns options whose FollowUp calls f for handlers of this test.
func followed(f func(c *conn)) evloop.Options {
	return evloop.Options{FollowUp: func(h evloop.Handler) { f(h.(*conn)) }}
}

func TestFollowUpRunsAfterData(t *testing.T) {
	steps := make(chan string, 10)
	l := newLoop(t, followed(func(*conn) { steps <- "follow-up" }))
	client := add(t, l, &conn{data: func(_ *conn, p []byte) bool { steps <- string(p); return true }})
	for _, text := range []string{"a", "b"} {
		send(t, client, text)
		require.Equal(t, text, await(t, steps))
		require.Equal(t, "follow-up", await(t, steps))
	}
}

// While FollowUp blocks, its socket is received and so are all others, and no deposition detaches the socket.
func TestFollowUpHoldsUpNothing(t *testing.T) {
	entered, gate := make(chan struct{}, 100), make(chan struct{})
	var blocks atomic.Bool
	l := newLoop(t, followed(func(*conn) {
		if blocks.CompareAndSwap(true, false) {
			entered <- struct{}{}
			<-gate
		}
	}))
	c := echo()
	client, other := add(t, l, c), add(t, l, echo())
	for range 3 { // each leader is deposed
		blocks.Store(true)
		send(t, client, "x")
		require.Equal(t, "x", receive(t, client, 1))
		await(t, entered)
		send(t, other, "y")
		require.Equal(t, "y", receive(t, other, 1))
		send(t, client, "z")
		require.Equal(t, "z", receive(t, client, 1), "while FollowUp for this socket blocks")
	}
	require.EqualValues(t, 3, l.Stats().Depositions)
	require.Equal(t, evloop.Inline, c.Mode(), "the socket itself was not slow")
	close(gate)
	eventually(t, func() bool { return l.Stats().Goroutines == 1 }, "the leader is alone again")
	send(t, client, "x")
	require.Equal(t, "x", receive(t, client, 1))
}

// FollowUp follows on each way on which Data is called: also on a goroutine, and if the leader was deposed in Data.
func TestFollowUpOffTheLeader(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			followUps := make(chan struct{}, 100)
			l := newLoop(t, followed(func(*conn) { followUps <- struct{}{} }))
			c := &conn{}
			client, release := inMode(t, l, c, mode)
			release()
			if mode == evloop.Detached {
				require.Equal(t, "b", receive(t, client, 1))
			}
			send(t, client, "x")
			require.Equal(t, "x", receive(t, client, 1))
			await(t, followUps)
			if mode != evloop.Inline {
				await(t, followUps) // that of "b"
			}
		})
	}
}

// A FollowUp that fails ends neither the loop nor its socket.
func TestFollowUpFails(t *testing.T) {
	for name, fail := range map[string]func(){"panic": func() { panic("boom") }, "goexit": runtime.Goexit} {
		for where, breaker := range map[string]uint32{"leader": evloop.BreakerClosed, "goroutine": evloop.BreakerOpen} {
			t.Run(name+"/"+where, func(t *testing.T) {
				logged := make(chan struct{}, 10)
				var fails atomic.Bool
				opts := followed(func(*conn) {
					if fails.CompareAndSwap(true, false) {
						fail()
					}
				})
				opts.Logf = func(string, ...any) { logged <- struct{}{} }
				l := newLoop(t, opts)
				c := echo()
				client := add(t, l, c)
				l.SetBreaker(breaker)
				fails.Store(true)
				send(t, client, "x")
				require.Equal(t, "x", receive(t, client, 1))
				if name == "panic" {
					await(t, logged)
				}
				send(t, client, "y")
				require.Equal(t, "y", receive(t, client, 1))
				require.False(t, c.Ending())
			})
		}
	}
}
