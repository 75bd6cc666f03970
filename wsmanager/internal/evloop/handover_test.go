//go:build linux

package evloop_test

import (
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/evloop"
)

// scripted is an echo handler that the client controls: "b" blocks until the gate is open,
// any other byte does nothing before the echo.
func scripted(gate <-chan struct{}, entered chan<- struct{}) *conn {
	return &conn{data: func(c *conn, p []byte) bool {
		if strings.Contains(string(p), "b") {
			if entered != nil {
				entered <- struct{}{}
			}
			<-gate
		}
		if c.reply != nil {
			c.reply(c, p)
		} else {
			_, _ = c.Write(p)
		}
		return true
	}}
}

// inMode returns an echo socket in the given mode. A detached one is in Data until release
// is called; the test's cleanup calls it too.
func inMode(t *testing.T, l *evloop.Loop, c *conn, mode uint32) (client net.Conn, release func()) {
	t.Helper()
	gate, entered := make(chan struct{}), make(chan struct{}, 1)
	release = sync.OnceFunc(func() { close(gate) })
	t.Cleanup(release)
	c.data = scripted(gate, entered).data
	client = add(t, l, c)
	if mode == evloop.Inline {
		return client, release
	}
	send(t, client, "b")
	await(t, entered)
	eventually(t, func() bool { return c.Mode() == evloop.Detached }, "the watchdog detaches it")
	if mode == evloop.Slow {
		// A leader that was deposed by time alone is recorded as slow only if its event
		// lasts for a while.
		time.Sleep(5 * time.Millisecond)
		release()
		require.Equal(t, "b", receive(t, client, 1))
		eventually(t, func() bool { return c.Mode() == evloop.Slow }, "it is slow from then on")
	}
	return client, release
}

var modes = map[string]uint32{"inline": evloop.Inline, "slow": evloop.Slow, "detached": evloop.Detached}

func TestBlockedHandlerIsLeftBehind(t *testing.T) {
	l := newLoop(t, evloop.Options{})
	other := add(t, l, echo())
	c := &conn{}
	client, release := inMode(t, l, c, evloop.Detached)
	send(t, client, "x")
	for range 10 {
		send(t, other, "hello")
		require.Equal(t, "hello", receive(t, other, 5))
	}
	require.NotZero(t, l.Stats().Depositions)
	eventually(t, func() bool { return l.Stats().Goroutines == 2 }, "the leader, and the handler that blocks")

	time.Sleep(5 * time.Millisecond) // see inMode
	release()
	require.Equal(t, "bx", receive(t, client, 2), "in order")
	eventually(t, func() bool { return c.Mode() == evloop.Slow }, "the slow event is recorded")
	// Enough fast events bring the socket back to the leader. On a busy machine one of them
	// may be slow.
	eventually(t, func() bool {
		send(t, client, "y")
		receive(t, client, 1)
		return c.Mode() == evloop.Inline
	}, "it is inline again")
	eventually(t, func() bool { return l.Stats().Goroutines == 1 }, "the leader is alone again")
}

func TestHandlersThatNeverReturn(t *testing.T) {
	l := newLoop(t, evloop.Options{})
	const blockers, echoers = 50, 20
	gate := make(chan struct{})
	defer close(gate)
	entered := make(chan struct{}, blockers)
	var ended []chan error
	for range blockers {
		c := scripted(gate, entered)
		send(t, add(t, l, c), "b")
		ended = append(ended, c.ended)
	}
	others := make([]net.Conn, echoers)
	for i := range others {
		others[i] = add(t, l, echo())
	}
	for range blockers {
		await(t, entered)
	}
	for range 20 {
		for _, c := range others {
			send(t, c, "hello")
		}
		for _, c := range others {
			require.Equal(t, "hello", receive(t, c, 5))
		}
	}
	eventually(t, func() bool { return l.Stats().Goroutines == blockers+1 }, "one for each, and the leader")
	for _, ch := range ended {
		require.Empty(t, ch, "End while Data runs")
	}
}

// Without a handoff each sleeping handler would delay all other sockets: the median would
// be above 100 ms.
func TestSleepingHandlersDelayNoOther(t *testing.T) {
	l := newLoop(t, evloop.Options{})
	const sleepers, echoers, rounds = 20, 100, 20
	var clients sync.WaitGroup
	stop := make(chan struct{})
	for range sleepers {
		client := add(t, l, &conn{data: func(c *conn, p []byte) bool {
			time.Sleep(10 * time.Millisecond)
			_, _ = c.Write(p)
			return true
		}})
		clients.Go(func() {
			for p := make([]byte, 1); ; {
				select {
				case <-stop:
					return
				default:
				}
				_, werr := client.Write(p)
				if _, err := client.Read(p); err != nil || werr != nil {
					t.Error(err, werr)
					return
				}
			}
		})
	}
	others := make([]net.Conn, echoers)
	for i := range others {
		others[i] = add(t, l, echo())
	}
	var took []time.Duration
	for range rounds {
		for _, c := range others {
			start := time.Now()
			send(t, c, "x")
			receive(t, c, 1)
			took = append(took, time.Since(start))
		}
	}
	close(stop)
	clients.Wait()
	slices.Sort(took)
	median := took[len(took)/2]
	t.Logf("median %v, p99 %v, %+v", median, took[len(took)*99/100], l.Stats())
	require.Less(t, median, 40*time.Millisecond)
}

func TestHandlersThatCompute(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("a watchdog needs a processor of its own to see it")
	}
	l := newLoop(t, evloop.Options{})
	var stop atomic.Bool
	c := &conn{data: func(*conn, []byte) bool {
		for !stop.Load() {
		}
		return false
	}}
	other := add(t, l, echo())
	send(t, add(t, l, c), "x")
	send(t, other, "hello")
	require.Equal(t, "hello", receive(t, other, 5))
	stop.Store(true)
	require.Equal(t, evloop.ErrStopped, await(t, c.ended))
}

func TestWithoutMetricsTimeAloneDecides(t *testing.T) {
	l := newLoop(t, evloop.Options{})
	other := add(t, l, echo()) // starts the loop
	eventually(t, l.WatchdogParked, "the watchdog sleeps")
	l.WithoutMetrics()
	_, _ = inMode(t, l, &conn{}, evloop.Detached)
	send(t, other, "hello")
	require.Equal(t, "hello", receive(t, other, 5))
	require.Zero(t, l.Stats().Blocked)
	require.NotZero(t, l.Stats().Depositions)
}

func TestBreakerHalfOpens(t *testing.T) {
	l := newLoop(t, evloop.Options{})
	gate := make(chan struct{})
	defer close(gate)
	// Handlers block one after the other and the watchdog deposes each leader, until the
	// breaker reacts. On a busy machine some are deposed by time alone.
	eventually(t, func() bool {
		send(t, add(t, l, scripted(gate, nil)), "b")
		return l.Stats().HalfOpenings > 0
	}, "suspicion")
	other := echo()
	client := add(t, l, other)
	for range 50 {
		send(t, client, "hello")
		require.Equal(t, "hello", receive(t, client, 5))
	}
}

func TestBreakerOpens(t *testing.T) {
	l := newLoop(t, evloop.Options{})
	c := &conn{}
	client, _ := inMode(t, l, c, evloop.Inline)
	eventually(t, l.WatchdogParked, "the watchdog sleeps")
	eventually(t, func() bool {
		l.SetBreaker(evloop.BreakerOpen) // the watchdog, which work wakes, closes it again
		send(t, client, "x")
		require.Equal(t, "x", receive(t, client, 1))
		return c.Mode() == evloop.Slow
	}, "it has been given to a goroutine, and stays out")
	client.Close()
	require.Equal(t, io.EOF, await(t, c.ended))
}

func TestEndMayBlock(t *testing.T) {
	l := newLoop(t, evloop.Options{})
	gate, entered := make(chan struct{}), make(chan struct{})
	c := &conn{end: func(*conn, error) { close(entered); <-gate }}
	client := add(t, l, c)
	other := add(t, l, echo())
	client.Close()
	await(t, entered)
	send(t, other, "hello")
	require.Equal(t, "hello", receive(t, other, 5))
	require.Equal(t, 2, l.Stats().Sockets)
	close(gate)
	require.Equal(t, io.EOF, await(t, c.ended))
}
