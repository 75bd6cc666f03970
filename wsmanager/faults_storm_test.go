package wsmanager_test

import (
	"context"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// TestFaultStorm connects our clients to our server through networks that fail at random,
// while both sides broadcast. Every OnConnect must have its OnClose on both sides, and the
// numbers of goroutines and descriptors must return to their initial values.
//
// SPEAKINGTUBE_FAULTS=60s runs it for a minute.
func TestFaultStorm(t *testing.T) { onSocketDrivers(t, testFaultStorm) }

func testFaultStorm(t *testing.T) {
	lasts := 300 * time.Millisecond
	if s := os.Getenv("SPEAKINGTUBE_FAULTS"); s != "" {
		var err error
		lasts, err = time.ParseDuration(s)
		require.NoError(t, err, "SPEAKINGTUBE_FAULTS")
	}
	opts := optionsWithoutLog()
	opts.Outbox.Messages, opts.Timeouts.PingInterval, opts.Timeouts.Idle = 32, 100*time.Millisecond, 300*time.Millisecond
	opts.Timeouts.Write, opts.Timeouts.Close, opts.Timeouts.Handshake = 200*time.Millisecond, 100*time.Millisecond, 200*time.Millisecond
	var server, client counts
	m, url := serve(t, server.callbacks(), opts, nil)
	dialled := dialOptions(opts)
	sockets := func() int { // number of open descriptors, where the system reports it
		n := 0
		entries, _ := os.ReadDir("/proc/self/fd")
		for _, e := range entries {
			if link, _ := os.Readlink("/proc/self/fd/" + e.Name()); strings.HasPrefix(link, "socket:") {
				n++
			}
		}
		return n
	}
	goroutines, descriptors := runtime.NumGoroutine(), sockets()

	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			m.Broadcast(wsmanager.Binary(make([]byte, rand.IntN(20_000))))
			time.Sleep(5 * time.Millisecond)
		}
	})
	var failed atomic.Pointer[error]
	for range 16 {
		wg.Go(func() {
			for ctx.Err() == nil || server.connects.Load() == 0 { // at least one connection, even on a busy machine
				if err := runThroughStorm(t, url, &client, dialled); err != nil {
					failed.Store(&err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		require.NoError(t, *err)
	}
	require.NoError(t, m.Shutdown(t.Context()))
	require.Equal(t, server.connects.Load(), server.closes.Load())
	require.Equal(t, client.connects.Load(), client.closes.Load())
	require.Positive(t, server.connects.Load())
	require.EqualValues(t, m.Stats().Accepted, server.connects.Load())
	awaitCondition(t, func() bool { return runtime.NumGoroutine() <= goroutines && sockets() <= descriptors })
	t.Logf("%d connections of the server, %d of clients", server.connects.Load(), client.connects.Load())
}

// counts counts the calls of its callbacks.
type counts struct{ connects, closes atomic.Int64 }

func (n *counts) callbacks() wsmanager.Callbacks {
	return wsmanager.Callbacks{
		OnConnect: func(*wsmanager.Conn) error { n.connects.Add(1); return nil },
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			if len(m.Payload) < 1000 {
				_ = c.Send(m) // an error means that it is closing or its outbox is full
			}
			return nil
		},
		OnClose: func(*wsmanager.Conn, error) { n.closes.Add(1) },
	}
}

// runThroughStorm dials one connection and waits for its end.
func runThroughStorm(t *testing.T, url string, client *counts, opts wsmanager.DialOptions) error {
	p, err := wstest.ListenProxy(url)
	if err != nil {
		return err
	}
	fault := func() wstest.Fault {
		return wstest.Fault{
			Delay:    time.Duration(rand.IntN(3)) * time.Millisecond,
			Piece:    rand.IntN(3) * rand.IntN(1000),
			Coalesce: time.Duration(rand.IntN(2)) * time.Millisecond,
			Cut:      wstest.Cut(rand.IntN(5)),
			After:    rand.Int64N(20_000),
		}
	}
	p.Up(fault())
	p.Down(fault())
	c, err := dialAs(context.Background(), t, p.URL(), client.callbacks(), opts)
	if err == nil {
		for range rand.IntN(20) {
			_ = c.Send(wsmanager.Binary(make([]byte, rand.IntN(5000)))) // an error means that it is closing or its outbox is full
		}
		time.Sleep(time.Duration(rand.IntN(50)) * time.Millisecond)
		if rand.IntN(3) == 0 {
			_ = c.Close(1000, "")
		} else {
			p.Reset()
		}
		if err := c.Manager().Shutdown(context.Background()); err != nil {
			return err
		}
	}
	return p.Close()
}
