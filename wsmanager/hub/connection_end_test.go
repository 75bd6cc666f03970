package hub_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// cable holds the TCP connections of a client, so that a test can cut them.
type cable struct {
	mu    sync.Mutex
	conns []net.Conn
	dead  bool // dial fails
}

func (l *cable) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return nil, errors.New("the cable is cut")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err == nil {
		l.conns = append(l.conns, conn)
	}
	return conn, err
}

// cut resets all connections.
func (l *cable) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		_ = c.(*net.TCPConn).SetLinger(0) // it may already be closed
		_ = c.Close()
	}
	l.conns = nil
}

func (l *cable) kill(dead bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = dead
}

// A connection that breaks reconnects.
func TestConnectionReconnects(t *testing.T) { onEachDriver(t, testConnectionReconnects) }

func testConnectionReconnects(t *testing.T) {
	for _, skip := range []bool{false, true} {
		t.Run(fmt.Sprintf("skip negotiation %v", skip), func(t *testing.T) {
			ctx := testContext(t)
			release := make(chan struct{})
			disconnected := make(chan error, 1)
			began := make(chan bool, 1)
			methods := testMethods(release)
			wait := methods["Wait"].(func(*hub.Context) error)
			methods["Wait"] = func(ctx *hub.Context) error { began <- true; return wait(ctx) }
			_, url := serve(t, methods, hub.Options{Disconnected: func(_ *hub.Context, err error) { disconnected <- err }})
			var line cable
			events := make(chan string, 10)
			c := client(t, url, hub.DialOptions{
				SkipNegotiation: skip,
				WebSocket:       wsmanager.DialOptions{Network: wsmanager.Network{Dial: line.dial}},
				OnReconnecting:  func(err error) { events <- fmt.Sprint("reconnecting ", err != nil) },
				OnReconnected:   func(id string) { events <- "reconnected " + id },
				OnClosed:        func(err error) { events <- fmt.Sprint("closed ", err) },
			})
			for range 3 {
				before, err := hub.Invoke[string](ctx, c, "ID")
				require.NoError(t, err)
				waiting := make(chan error, 1)
				go func() { waiting <- c.Call(ctx, "Wait") }()
				awaitValue(t, began)
				line.cut()
				require.ErrorIs(t, awaitValue(t, waiting), hub.ErrDisconnected)
				require.Equal(t, "reconnecting true", awaitValue(t, events))
				reconnected := awaitValue(t, events)
				require.Equal(t, "reconnected "+c.ID(), reconnected)
				require.Error(t, awaitValue(t, disconnected))
				after, err := hub.Invoke[string](ctx, c, "ID")
				require.NoError(t, err)
				require.NotEqual(t, before, after)
			}
			end(t, c)
			require.Equal(t, "closed <nil>", awaitValue(t, events))
			require.NoError(t, awaitValue(t, disconnected))
		})
	}
}

// The delays are used one after the other, until none is left.
func TestConnectionGivesUp(t *testing.T) { onEachDriver(t, testConnectionGivesUp) }

func testConnectionGivesUp(t *testing.T) {
	_, url := serve(t, testMethods(nil), hub.Options{})
	var line cable
	var retries []hub.Retry
	closed := make(chan error, 1)
	c := client(t, url, hub.DialOptions{
		WebSocket: wsmanager.DialOptions{Network: wsmanager.Network{Dial: line.dial}},
		RetryDelay: func(r hub.Retry) (time.Duration, bool) {
			retries = append(retries, r)
			return time.Millisecond, len(retries) < 4
		},
		OnClosed: func(err error) { closed <- err },
	})
	line.kill(true)
	line.cut()
	require.Error(t, awaitValue(t, closed))
	awaitValue(t, c.Done())
	require.Error(t, c.Err())
	require.Len(t, retries, 4)
	for i, r := range retries {
		require.Equal(t, i+1, r.Attempt)
		require.Equal(t, i > 0, strings.Contains(r.Err.Error(), "the cable is cut"), r.Err)
	}
	require.ErrorIs(t, c.Call(testContext(t), "Void"), hub.ErrClosed)

	c = client(t, url, hub.DialOptions{WebSocket: wsmanager.DialOptions{Network: wsmanager.Network{Dial: (&cable{}).dial}}, ReconnectDelays: []time.Duration{},
		OnReconnecting: func(error) { t.Error("unexpected reconnect") }})
	require.NoError(t, c.Call(testContext(t), "Void"))
	require.NoError(t, c.Send(testContext(t), "Abort"))
	awaitValue(t, c.Done())
	require.NoError(t, c.Err(), "the server closed it without an error")
}

// Close ends a client while it waits to reconnect.
func TestConnectionClosesBetweenAttempts(t *testing.T) {
	onEachDriver(t, testConnectionClosesBetweenAttempts)
}

func testConnectionClosesBetweenAttempts(t *testing.T) {
	_, url := serve(t, testMethods(nil), hub.Options{})
	var line cable
	reconnecting := make(chan struct{})
	c := client(t, url, hub.DialOptions{
		WebSocket: wsmanager.DialOptions{Network: wsmanager.Network{Dial: line.dial}}, ReconnectDelays: []time.Duration{time.Hour},
		OnReconnecting: func(error) { close(reconnecting) },
	})
	line.cut()
	awaitValue(t, reconnecting)
	require.False(t, c.Connected())
	require.ErrorIs(t, c.Call(testContext(t), "Void"), hub.ErrDisconnected)
	end(t, c)
	require.NoError(t, c.Err())
}

// Close ends a client during a resume, without OnReconnecting.
func TestConnectionClosesDuringResume(t *testing.T) {
	onEachDriver(t, testConnectionClosesDuringResume)
}

func testConnectionClosesDuringResume(t *testing.T) {
	_, url := serve(t, testMethods(nil), hub.Options{StatefulReconnect: true})
	var line cable
	var broken atomic.Bool
	resuming := make(chan struct{})
	c := client(t, url, hub.DialOptions{
		StatefulReconnect: true,
		WebSocket: wsmanager.DialOptions{Network: wsmanager.Network{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if broken.Load() {
				close(resuming)
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return line.dial(ctx, network, addr)
		}}},
		OnReconnecting: func(error) { t.Error("unexpected reconnect") },
	})
	require.NoError(t, c.Call(testContext(t), "Void"), "then the hub knows the connection")
	broken.Store(true)
	line.cut()
	awaitValue(t, resuming)
	end(t, c)
	require.NoError(t, c.Err())
}

// The server's Close message decides whether the client reconnects.
func TestConnectionClosedByServer(t *testing.T) {
	onEachDriver(t, testConnectionClosedByServer)
}

func testConnectionClosedByServer(t *testing.T) {
	t.Run("final", func(t *testing.T) {
		_, url := serve(t, testMethods(nil), hub.Options{})
		c := client(t, url, hub.DialOptions{OnReconnecting: func(error) { t.Error("unexpected reconnect") }})
		require.ErrorIs(t, c.Call(testContext(t), "Abort"), hub.ErrDisconnected)
		awaitValue(t, c.Done())
		require.NoError(t, c.Err())
	})
	t.Run("with an error", func(t *testing.T) {
		_, url := serve(t, testMethods(nil), hub.Options{Connected: func(*hub.Context) error { return hub.Error("bad day") }})
		c := client(t, url, hub.DialOptions{})
		awaitValue(t, c.Done())
		var closed *hub.ClosedError
		require.ErrorAs(t, c.Err(), &closed)
		require.Equal(t, "bad day", closed.Text)
	})
	t.Run("a restart", func(t *testing.T) {
		ctx := testContext(t)
		var current atomic.Pointer[hub.Hub]
		restart := func() *hub.Hub {
			opts := optionsWithoutLog()
			opts.WebSocket.Driver = driverOf(t)
			return current.Swap(hub.MustNew(testMethods(nil), opts))
		}
		restart()
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { current.Load().ServeHTTP(w, r) }))
		t.Cleanup(srv.Close)
		t.Cleanup(func() { _ = current.Load().Shutdown(testContext(t)) })
		again := make(chan string, 1)
		c := client(t, srv.URL+"/hub", hub.DialOptions{OnReconnected: func(id string) { again <- id }})
		for range 3 {
			require.NoError(t, restart().Shutdown(ctx))
			awaitValue(t, again)
			require.NoError(t, c.Call(ctx, "Void"))
		}
	})
}

// A connection that broke is resumed without loss.
func TestConnectionResumes(t *testing.T) { onEachDriver(t, testConnectionResumes) }

func testConnectionResumes(t *testing.T) {
	ctx := testContext(t)
	h, url := serve(t, testMethods(nil), hub.Options{StatefulReconnect: true})
	var line cable
	said := make(chan int, 10_000)
	c := client(t, url, hub.DialOptions{
		StatefulReconnect: true, WebSocket: wsmanager.DialOptions{Network: wsmanager.Network{Dial: line.dial}},
		Handlers:       hub.Methods{"message": func(n int) { said <- n }},
		OnReconnecting: func(err error) { t.Errorf("the connection was not resumed: %v", err) },
	})
	id := c.ID()
	require.NoError(t, c.Call(ctx, "Void"), "then the hub knows the connection")
	const rounds, each = 5, 100
	next := 0
	items := make(chan int, rounds*each)
	sum := make(chan int, 1)
	go func() {
		n, err := hub.Invoke[int](ctx, c, "Sum", items)
		if err != nil {
			t.Error(err)
		}
		sum <- n
	}()
	for round := range rounds {
		for i := range each {
			if i == each/2 {
				line.cut()
			}
			items <- round*each + i
			require.NoError(t, h.Clients().Client(id).Send("message", next))
			next++
			n, err := hub.Invoke[int](ctx, c, "Add", round, i)
			require.NoError(t, err)
			require.Equal(t, round+i, n)
		}
	}
	close(items)
	require.Equal(t, rounds*each*(rounds*each-1)/2, awaitValue(t, sum))
	for want := range next {
		require.Equal(t, want, awaitValue(t, said), "each once, in order")
	}
	require.Equal(t, id, c.ID())
	end(t, c)
	require.Empty(t, said)
}

// A connection that cannot be resumed reconnects.
func TestConnectionReconnectsIfNotResumed(t *testing.T) {
	onEachDriver(t, testConnectionReconnectsIfNotResumed)
}

func testConnectionReconnectsIfNotResumed(t *testing.T) {
	ctx := testContext(t)
	h, url := serve(t, testMethods(nil), hub.Options{StatefulReconnect: true, ResumeWindow: time.Nanosecond})
	var line cable
	again := make(chan string, 1)
	c := client(t, url, hub.DialOptions{
		StatefulReconnect: true, WebSocket: wsmanager.DialOptions{Network: wsmanager.Network{Dial: line.dial}}, OnReconnected: func(id string) { again <- id },
		RetryDelay: func(hub.Retry) (time.Duration, bool) { return time.Millisecond, true },
	})
	id := c.ID()
	waiting := make(chan error, 1)
	go func() { waiting <- c.Call(ctx, "Wait") }()
	line.kill(true)
	line.cut()
	require.ErrorIs(t, awaitValue(t, waiting), hub.ErrDisconnected)
	line.kill(false)
	require.NotEqual(t, id, awaitValue(t, again))
	require.NoError(t, c.Call(ctx, "Void"))
	require.Eventually(t, func() bool { return h.Len() == 1 }, wstest.Patience, time.Millisecond)
}

// An answer in a later session would be the answer to another invocation.
func TestConnectionDropsAnswersOfOldSession(t *testing.T) {
	onEachDriver(t, testConnectionDropsAnswersOfOldSession)
}

func testConnectionDropsAnswersOfOldSession(t *testing.T) {
	ctx := testContext(t)
	release := make(chan struct{})
	asked := make(chan int, 2)
	_, url := serve(t, testMethods(nil), hub.Options{})
	var line cable
	again := make(chan string, 1)
	c := client(t, url, hub.DialOptions{
		WebSocket:     wsmanager.DialOptions{Network: wsmanager.Network{Dial: line.dial}},
		OnReconnected: func(id string) { again <- id },
		Handlers: hub.Methods{"slow": func(a, b int) int {
			asked <- a
			if a == 1 {
				<-release
			}
			return a
		}},
	})
	first := make(chan error, 1)
	go func() { first <- c.Call(ctx, "AskClient", "slow", 1, 0) }()
	require.Equal(t, 1, awaitValue(t, asked))
	line.cut()
	require.ErrorIs(t, awaitValue(t, first), hub.ErrDisconnected)
	awaitValue(t, again)
	second := make(chan int, 1)
	go func() {
		n, err := hub.Invoke[int](ctx, c, "AskClient", "slow", 2, 0)
		if err != nil {
			t.Error(err)
		}
		second <- n
	}()
	require.NoError(t, c.Call(ctx, "Void"), "then the invocation has arrived")
	close(release)
	require.Equal(t, 2, awaitValue(t, asked))
	require.Equal(t, 2, awaitValue(t, second))
}

// The Connection ends with BaseContext.
func TestConnectionEndsWithBaseContext(t *testing.T) {
	onEachDriver(t, testConnectionEndsWithBaseContext)
}

func testConnectionEndsWithBaseContext(t *testing.T) {
	_, url := serve(t, testMethods(nil), hub.Options{})
	base, cancel := context.WithCancel(context.Background())
	c := client(t, url, hub.DialOptions{WebSocket: wsmanager.DialOptions{BaseContext: base}})
	cancel()
	awaitValue(t, c.Done())
	require.NoError(t, c.Err())
}
