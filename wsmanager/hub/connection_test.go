package hub_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
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

// client connects to a hub with the Go client, which ends with the test.
func client(t testing.TB, url string, opts hub.DialOptions) *hub.Connection {
	t.Helper()
	if opts.Logger == nil {
		opts.Logger = quiet().Logger
	}
	c, err := hub.Dial(patient(t), url, opts)
	require.NoError(t, err)
	t.Cleanup(func() { end(t, c) })
	return c
}

// patient is a context that a healthy test does not see the end of.
func patient(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), wstest.Patience)
	t.Cleanup(cancel)
	return ctx
}

func end(t testing.TB, c *hub.Connection) {
	t.Helper()
	c.Close()
	over(t, c.Done())
}

// over waits for a channel.
func over[T any](t testing.TB, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(wstest.Patience):
		t.Fatal("nothing came")
	}
	return v
}

// cable is the TCP connections of a client, for a test to cut.
type cable struct {
	mu    sync.Mutex
	conns []net.Conn
	dead  bool // there are no more
}

func (l *cable) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return nil, errors.New("the line is dead")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err == nil {
		l.conns = append(l.conns, conn)
	}
	return conn, err
}

// cut resets all that there are.
func (l *cable) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		_ = c.(*net.TCPConn).SetLinger(0) // it may be closed already
		_ = c.Close()
	}
	l.conns = nil
}

func (l *cable) kill(dead bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = dead
}

// everything is a hub of all that a client can do.
func everything(release <-chan struct{}) hub.Methods {
	return hub.Methods{
		"Echo": func(x any) any { return x },
		"Add":  func(a, b int) int { return a + b },
		"Void": func() {},
		"Fail": func() error { return hub.Error("boom") },
		"ID":   func(ctx *hub.Context) string { return ctx.ConnectionID() },
		"User": func(ctx *hub.Context) string { return ctx.User() },
		"Wait": func(ctx *hub.Context) error {
			select {
			case <-release:
			case <-ctx.Done():
			}
			return context.Cause(ctx)
		},
		"Counter": func(ctx *hub.Context, n int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for i := range n {
					if !yield(i, nil) {
						return
					}
				}
			}
		},
		"Broken": func() iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				_ = yield(1, nil) && yield(0, hub.Error("broken"))
			}
		},
		"Sum": func(items iter.Seq2[int, error]) (sum int, err error) {
			for n, err := range items {
				if err != nil {
					return 0, hub.Errorf("the sum of %d: %v", sum, err)
				}
				sum += n
			}
			return sum, nil
		},
		"First": func(items iter.Seq2[int, error]) int {
			for n, err := range items {
				if err == nil {
					return n
				}
			}
			return -1
		},
		"AskClient": func(ctx *hub.Context, method string, a, b int) (int, error) {
			n, err := hub.Invoke[int](ctx, ctx.Clients().Caller(), method, a, b)
			var remote *hub.RemoteError
			if errors.As(err, &remote) {
				return 0, hub.Error(remote.Text)
			}
			return n, err
		},
		"Tell":  func(ctx *hub.Context, method string, x any) error { return ctx.Clients().All().Send(method, x) },
		"Abort": func(ctx *hub.Context) { ctx.Abort() },
	}
}

func TestConnectionCalls(t *testing.T) {
	for _, skip := range []bool{false, true} {
		t.Run(fmt.Sprintf("skip negotiation %v", skip), func(t *testing.T) {
			ctx := patient(t)
			_, url := serve(t, everything(nil), hub.Options{})
			c := client(t, url, hub.DialOptions{SkipNegotiation: skip})
			require.True(t, c.Connected())
			id, err := hub.Invoke[string](ctx, c, "ID")
			require.NoError(t, err)
			if skip {
				require.Empty(t, c.ID())
			} else {
				require.Equal(t, id, c.ID())
			}
			sum, err := hub.Invoke[int](ctx, c, "add", 40, 2)
			require.NoError(t, err)
			require.Equal(t, 42, sum)
			require.NoError(t, c.Call(ctx, "Void"))
			require.NoError(t, c.Call(ctx, "Add", 1, 2), "a result may be ignored")
			text, err := hub.Invoke[string](ctx, c, "Echo", "<\x1e\u2028😀>")
			require.NoError(t, err)
			require.Equal(t, "<\x1e\u2028😀>", text)

			var remote *hub.RemoteError
			require.ErrorAs(t, c.Call(ctx, "Fail"), &remote)
			require.Equal(t, &hub.RemoteError{Method: "Fail", Text: "boom"}, remote)
			require.ErrorAs(t, c.Call(ctx, "Nothing"), &remote)
			require.Equal(t, "Unknown hub method 'Nothing'", remote.Text)
			require.ErrorAs(t, c.Call(ctx, "Counter", 1), &remote, "a stream, called as if it were none")
			_, err = hub.Invoke[int](ctx, c, "Echo", "text")
			require.ErrorContains(t, err, `hub: the result of "Echo"`)
			require.ErrorContains(t, c.Call(ctx, "Echo", func() {}), `hub: argument 1 of "Echo"`)

			var wg sync.WaitGroup
			for i := range 300 {
				wg.Go(func() {
					if n, err := hub.Invoke[int](ctx, c, "Add", i, i); n != 2*i || err != nil {
						t.Errorf("%d: %v %v", i, n, err)
					}
				})
			}
			wg.Wait()
			c.Close()
			over(t, c.Done())
			require.NoError(t, c.Err())
			require.False(t, c.Connected())
			require.ErrorIs(t, c.Call(ctx, "Void"), hub.ErrClosed)
			require.ErrorIs(t, c.Send(ctx, "Void"), hub.ErrClosed)
		})
	}
}

// The end of a context is the end of the method's as well.
func TestConnectionCancelsCalls(t *testing.T) {
	canceled := make(chan error, 1)
	_, url := serve(t, hub.Methods{
		"Wait": func(ctx *hub.Context) { <-ctx.Done(); canceled <- context.Cause(ctx) },
		"Void": func() {},
	}, hub.Options{})
	c := client(t, url, hub.DialOptions{})
	ctx, cancel := context.WithCancelCause(patient(t))
	why := errors.New("enough")
	time.AfterFunc(10*time.Millisecond, func() { cancel(why) })
	require.ErrorIs(t, c.Call(ctx, "Wait"), why)
	require.ErrorIs(t, over(t, canceled), hub.ErrCanceled)
	require.ErrorIs(t, c.Call(ctx, "Void"), why, "it is not sent")
	require.NoError(t, c.Call(patient(t), "Void"))
}

func TestConnectionStreams(t *testing.T) {
	ctx := patient(t)
	_, url := serve(t, everything(nil), hub.Options{})
	c := client(t, url, hub.DialOptions{StreamBuffer: 2})
	var items []int
	stream := hub.Stream[int](ctx, c, "Counter", 500)
	for range 2 { // each time anew
		items = nil
		for n, err := range stream {
			require.NoError(t, err)
			items = append(items, n)
		}
		require.Len(t, items, 500)
		require.IsIncreasing(t, items)
	}
	for n, err := range hub.Stream[int](ctx, c, "Counter", 10_000) {
		require.NoError(t, err)
		if n == 10 {
			break
		}
		// The answer is behind items that nobody has taken.
		sum, err := hub.Invoke[int](ctx, c, "Add", n, 1)
		require.NoError(t, err)
		require.Equal(t, n+1, sum)
	}
	for _, err := range hub.Stream[int](ctx, c, "Counter", 0) {
		require.NoError(t, err)
		t.Fatal("an item of an empty stream")
	}
	fails := func(stream iter.Seq2[int, error]) (err error) {
		for _, err = range stream {
		}
		return err
	}
	var remote *hub.RemoteError
	require.ErrorAs(t, fails(hub.Stream[int](ctx, c, "Broken")), &remote)
	require.Equal(t, "broken", remote.Text)
	require.ErrorAs(t, fails(hub.Stream[int](ctx, c, "Add", 1, 2)), &remote)
	require.ErrorContains(t, fails(func(yield func(int, error) bool) {
		for s, err := range hub.Stream[string](ctx, c, "Counter", 1) {
			yield(len(s), err)
		}
	}), `hub: an item of "Counter"`)
	stopped, cancel := context.WithCancel(ctx)
	defer cancel()
	n := 0
	for _, err := range hub.Stream[int](stopped, c, "Counter", 10_000) {
		if n++; n == 3 {
			cancel()
		}
		if err != nil {
			require.ErrorIs(t, err, context.Canceled)
		}
	}
	require.Less(t, n, 10_000)
	require.NoError(t, c.Call(ctx, "Void"))
}

// A stream of which nothing is taken, while the client waits for something behind it,
// fails in the end; the connection goes on.
func TestConnectionBoundsStreams(t *testing.T) {
	ctx := patient(t)
	ended := make(chan struct{})
	_, url := serve(t, hub.Methods{
		"Flood": func(ctx *hub.Context) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				defer close(ended)
				for yield(strings.Repeat("x", 1000), nil) {
				}
			}
		},
		"Hold": func() { <-ended },
	}, hub.Options{})
	c := client(t, url, hub.DialOptions{StreamBuffer: 2, MaxMessageSize: 20_000, ReceiveBuffer: 20_000})
	n := 0
	var failure error
	for _, err := range hub.Stream[string](ctx, c, "Flood") {
		if n++; n == 1 {
			require.NoError(t, c.Call(ctx, "Hold")) // which waits for the flood's end
		}
		failure = err
	}
	require.ErrorIs(t, failure, hub.ErrSlowConsumer)
	require.LessOrEqual(t, n, 22)
	require.NoError(t, c.Call(ctx, "Hold"))
}

func TestConnectionUploads(t *testing.T) {
	ctx := patient(t)
	_, url := serve(t, everything(nil), hub.Options{})
	c := client(t, url, hub.DialOptions{})
	count := func(n int, failure error) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := range n {
				if !yield(i, nil) {
					return
				}
			}
			if failure != nil {
				yield(0, failure)
			}
		}
	}
	sum, err := hub.Invoke[int](ctx, c, "Sum", count(3000, nil))
	require.NoError(t, err)
	require.Equal(t, 2999*3000/2, sum)

	ch := make(chan int)
	go func() {
		defer close(ch)
		for i := range 10 {
			ch <- i
		}
	}()
	sum, err = hub.Invoke[int](ctx, c, "Sum", ch)
	require.NoError(t, err)
	require.Equal(t, 45, sum)
	sum, err = hub.Invoke[int](ctx, c, "Sum", func(yield func(int) bool) { _ = yield(1) && yield(2) })
	require.NoError(t, err)
	require.Equal(t, 3, sum)

	_, err = hub.Invoke[int](ctx, c, "Sum", count(3, hub.Error("upload broke")))
	require.ErrorContains(t, err, "the sum of 3: ")
	require.ErrorContains(t, err, "upload broke")
	_, err = hub.Invoke[int](ctx, c, "Sum", count(3, errors.New("secret")))
	require.ErrorContains(t, err, "The client's stream failed.")
	_, err = hub.Invoke[int](ctx, c, "Sum", iter.Seq2[int, error](func(func(int, error) bool) { panic("secret") }))
	require.ErrorContains(t, err, "The client's stream failed.")
	_, err = hub.Invoke[int](ctx, c, "Sum", iter.Seq2[func(), error](func(func(func(), error) bool) {}))
	require.ErrorContains(t, err, `hub: argument 1 of "Sum"`)
	_, err = hub.Invoke[int](ctx, c, "Sum")
	require.ErrorContains(t, err, "provides 0 stream(s)")

	// What is not wanted any more is not sent: the channel never ends.
	endless := make(chan int, 1)
	endless <- 7
	first, err := hub.Invoke[int](ctx, c, "First", endless)
	require.NoError(t, err)
	require.Equal(t, 7, first)
	require.NoError(t, c.Send(ctx, "Sum", count(100, nil)))
	require.NoError(t, c.Call(ctx, "Void"))
}

// Checklist 32 and 34, from the client's side.
func TestConnectionHandlers(t *testing.T) {
	ctx := patient(t)
	_, url := serve(t, everything(nil), hub.Options{})
	said := make(chan string, 100)
	var c *hub.Connection
	ready := make(chan struct{})
	c = client(t, url, hub.DialOptions{Handlers: hub.Methods{
		"clientAdd":  func(a, b int) int { return a + b },
		"clientFail": func(a, b int) error { return hub.Error("not today") },
		"secret":     func(a, b int) error { return errors.New("secret") },
		"panics":     func(a, b int) int { panic("secret") },
		"noResult":   func(a, b int) {},
		"callsBack": func(ctx context.Context, a, b int) (int, error) {
			<-ready
			return hub.Invoke[int](ctx, c, "AskClient", "clientAdd", a, b) // which needs another handler
		},
		"message": func(text string) { said <- text },
	}})
	close(ready)
	for method, want := range map[string]string{
		"clientAdd": "", "callsBack": "", "CLIENTADD": "",
		"clientFail": "not today",
		"secret":     "An unexpected error occurred invoking 'secret' on the client.",
		"panics":     "An unexpected error occurred invoking 'panics' on the client.",
		"noResult":   "Client didn't provide a result.",
		"nobody":     "Client didn't provide a result.",
		"message":    "Client failed to parse argument(s).",
	} {
		n, err := hub.Invoke[int](ctx, c, "AskClient", method, 5, 6)
		if want == "" {
			require.NoError(t, err, method)
			require.Equal(t, 11, n)
			continue
		}
		var remote *hub.RemoteError
		require.ErrorAs(t, err, &remote, method)
		require.Equal(t, want, remote.Text)
	}
	off := c.On("clientAdd", func(a, b int) int { return 0 })
	_, err := hub.Invoke[int](ctx, c, "AskClient", "clientAdd", 5, 6)
	require.ErrorContains(t, err, "Client provided multiple results.")
	off()
	off()
	n, err := hub.Invoke[int](ctx, c, "AskClient", "clientAdd", 5, 6)
	require.NoError(t, err)
	require.Equal(t, 11, n)

	for i := range 100 {
		require.NoError(t, c.Send(ctx, "Tell", "message", fmt.Sprint(i)))
	}
	for i := range 100 {
		require.Equal(t, fmt.Sprint(i), over(t, said), "in order")
	}
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			if n, err := hub.Invoke[int](ctx, c, "AskClient", "callsBack", 1, 2); n != 3 || err != nil {
				t.Errorf("%v %v", n, err)
			}
		})
	}
	wg.Wait()
	for _, fn := range []any{nil, 1, func(*hub.Context) {}, func(iter.Seq2[int, error]) {}, func() iter.Seq2[int, error] { return nil }, hub.Method{Func: func() {}, Authorize: func(*hub.Call) error { return nil }}} {
		require.Panics(t, func() { c.On("x", fn) })
	}
}

// A connection that breaks is made again, anew.
func TestConnectionReconnects(t *testing.T) {
	for _, skip := range []bool{false, true} {
		t.Run(fmt.Sprintf("skip negotiation %v", skip), func(t *testing.T) {
			ctx := patient(t)
			release := make(chan struct{})
			disconnected := make(chan error, 1)
			_, url := serve(t, everything(release), hub.Options{Disconnected: func(_ *hub.Context, err error) { disconnected <- err }})
			var line cable
			events := make(chan string, 10)
			c := client(t, url, hub.DialOptions{
				SkipNegotiation: skip,
				WebSocket:       wsmanager.DialOptions{NetDial: line.dial},
				OnReconnecting:  func(err error) { events <- fmt.Sprint("reconnecting ", err != nil) },
				OnReconnected:   func(id string) { events <- "reconnected " + id },
				OnClosed:        func(err error) { events <- fmt.Sprint("closed ", err) },
			})
			for range 3 {
				before, err := hub.Invoke[string](ctx, c, "ID")
				require.NoError(t, err)
				waiting := make(chan error, 1)
				go func() { waiting <- c.Call(ctx, "Wait") }()
				line.cut()
				require.ErrorIs(t, over(t, waiting), hub.ErrDisconnected)
				require.Equal(t, "reconnecting true", over(t, events))
				reconnected := over(t, events)
				require.Equal(t, "reconnected "+c.ID(), reconnected)
				require.Error(t, over(t, disconnected))
				after, err := hub.Invoke[string](ctx, c, "ID")
				require.NoError(t, err)
				require.NotEqual(t, before, after)
			}
			end(t, c)
			require.Equal(t, "closed <nil>", over(t, events))
			require.NoError(t, over(t, disconnected))
		})
	}
}

// The delays are asked for one after the other, until there are no more.
func TestConnectionGivesUp(t *testing.T) {
	_, url := serve(t, everything(nil), hub.Options{})
	var line cable
	var retries []hub.Retry
	closed := make(chan error, 1)
	c := client(t, url, hub.DialOptions{
		WebSocket: wsmanager.DialOptions{NetDial: line.dial},
		RetryDelay: func(r hub.Retry) (time.Duration, bool) {
			retries = append(retries, r)
			return time.Millisecond, len(retries) < 4
		},
		OnClosed: func(err error) { closed <- err },
	})
	line.kill(true)
	line.cut()
	require.Error(t, over(t, closed))
	over(t, c.Done())
	require.Error(t, c.Err())
	require.Len(t, retries, 4)
	for i, r := range retries {
		require.Equal(t, i+1, r.Attempt)
		require.Equal(t, i > 0, strings.Contains(r.Err.Error(), "the line is dead"), r.Err)
	}
	require.ErrorIs(t, c.Call(patient(t), "Void"), hub.ErrClosed)

	c = client(t, url, hub.DialOptions{WebSocket: wsmanager.DialOptions{NetDial: (&cable{}).dial}, ReconnectDelays: []time.Duration{},
		OnReconnecting: func(error) { t.Error("it is not to") }})
	require.NoError(t, c.Call(patient(t), "Void"))
	require.NoError(t, c.Send(patient(t), "Abort"))
	over(t, c.Done())
	require.NoError(t, c.Err(), "the server has ended it, without an error")
}

// Close ends a client also while it waits to connect again.
func TestConnectionClosesBetweenAttempts(t *testing.T) {
	_, url := serve(t, everything(nil), hub.Options{})
	var line cable
	reconnecting := make(chan struct{})
	c := client(t, url, hub.DialOptions{
		WebSocket: wsmanager.DialOptions{NetDial: line.dial}, ReconnectDelays: []time.Duration{time.Hour},
		OnReconnecting: func(error) { close(reconnecting) },
	})
	line.cut()
	over(t, reconnecting)
	require.False(t, c.Connected())
	require.ErrorIs(t, c.Call(patient(t), "Void"), hub.ErrDisconnected)
	end(t, c)
	require.NoError(t, c.Err())
}

// What the server says at the end decides: checklist 40 and 41.
func TestConnectionIsClosedByTheServer(t *testing.T) {
	t.Run("for good", func(t *testing.T) {
		_, url := serve(t, everything(nil), hub.Options{})
		c := client(t, url, hub.DialOptions{OnReconnecting: func(error) { t.Error("it is not to") }})
		require.ErrorIs(t, c.Call(patient(t), "Abort"), hub.ErrDisconnected)
		over(t, c.Done())
		require.NoError(t, c.Err())
	})
	t.Run("with an error", func(t *testing.T) {
		_, url := serve(t, everything(nil), hub.Options{Connected: func(*hub.Context) error { return hub.Error("bad day") }})
		c := client(t, url, hub.DialOptions{})
		over(t, c.Done())
		var closed *hub.ClosedError
		require.ErrorAs(t, c.Err(), &closed)
		require.Equal(t, "bad day", closed.Text)
	})
	t.Run("a restart", func(t *testing.T) {
		ctx := patient(t)
		var current atomic.Pointer[hub.Hub]
		restart := func() *hub.Hub {
			opts := quiet()
			opts.WebSocket.Driver = driver
			return current.Swap(hub.MustNew(everything(nil), opts))
		}
		restart()
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { current.Load().ServeHTTP(w, r) }))
		t.Cleanup(srv.Close)
		t.Cleanup(func() { _ = current.Load().Shutdown(patient(t)) })
		again := make(chan string, 1)
		c := client(t, srv.URL+"/hub", hub.DialOptions{OnReconnected: func(id string) { again <- id }})
		for range 3 {
			require.NoError(t, restart().Shutdown(ctx))
			over(t, again)
			require.NoError(t, c.Call(ctx, "Void"))
		}
	})
}

func TestDialFails(t *testing.T) {
	_, url := serve(t, nil, hub.Options{
		Authenticate: func(r *http.Request, token string) (hub.Identity, error) {
			if token != "good" {
				return hub.Identity{}, wsmanager.Reject(http.StatusUnauthorized, "who are you?")
			}
			return hub.Identity{User: "ann"}, nil
		},
	})
	ctx := patient(t)
	log := quiet().Logger
	good := func(context.Context) (string, error) { return "good", nil }
	for _, skip := range []bool{false, true} {
		_, err := hub.Dial(ctx, url, hub.DialOptions{Logger: log, SkipNegotiation: skip})
		var refused *wsmanager.RefusedError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, http.StatusUnauthorized, refused.StatusCode)
	}
	_, err := hub.Dial(ctx, url, hub.DialOptions{Logger: log, AccessToken: good, Protocol: renamed{hub.JSON()}})
	var remote *hub.RemoteError
	require.ErrorAs(t, err, &remote)
	require.Equal(t, "The protocol 'other' is not supported.", remote.Text)
	why := errors.New("no token")
	_, err = hub.Dial(ctx, url, hub.DialOptions{Logger: log, AccessToken: func(context.Context) (string, error) { return "", why }})
	require.ErrorIs(t, err, why)
	over, cancel := context.WithCancelCause(ctx)
	cancel(why)
	_, err = hub.Dial(over, url, hub.DialOptions{Logger: log, AccessToken: good})
	require.ErrorIs(t, err, why)
	_, err = hub.Dial(ctx, url+"?token=secret", hub.DialOptions{Logger: log, WebSocket: wsmanager.DialOptions{NetDial: func(context.Context, string, string) (net.Conn, error) { return nil, why }}})
	require.ErrorIs(t, err, why)
	require.NotContains(t, err.Error(), "secret")

	_, err = hub.Dial(ctx, "ftp://x", hub.DialOptions{
		Handlers:        hub.Methods{"a": 1, "b": func(*hub.Context) {}},
		ReconnectDelays: []time.Duration{-1}, SkipNegotiation: true, StatefulReconnect: true,
		KeepAliveInterval: -1, MaxMessageSize: -1, StatefulBuffer: 1 << 30,
		WebSocket: wsmanager.DialOptions{Options: wsmanager.Options{SlowConsumer: wsmanager.SlowConsumerClose, MaxMessageSize: 1}},
	})
	for _, want := range []string{`"ftp"`, `Methods["a"]`, `Methods["b"]`, "ReconnectDelays", "SkipNegotiation", "KeepAliveInterval", "MaxMessageSize", "StatefulBuffer", "SlowConsumer"} {
		require.ErrorContains(t, err, want)
	}
}

type renamed struct{ hub.Protocol }

func (renamed) Name() string { return "other" }

// The token goes with both requests; a redirection brings another one.
func TestConnectionNegotiates(t *testing.T) {
	ctx := patient(t)
	byToken := func(_ *http.Request, token string) (hub.Identity, error) { return hub.Identity{User: token}, nil }
	_, url := serve(t, everything(nil), hub.Options{Authenticate: byToken})
	_, front := serve(t, everything(nil), hub.Options{
		Authenticate: byToken,
		Redirect: func(_ *http.Request, who hub.Identity) (string, string, error) {
			switch who.User {
			case "banned":
				return "", "", hub.Error("You are banned.")
			case "same":
				return url + "?x=1", "", nil
			}
			return url + "?x=1", "another", nil
		},
	})
	user := func(at, token string) string {
		c := client(t, at, hub.DialOptions{AccessToken: func(context.Context) (string, error) { return token, nil }})
		name, err := hub.Invoke[string](ctx, c, "User")
		require.NoError(t, err)
		return name
	}
	require.Equal(t, "ann", user(url, "ann"))
	require.Empty(t, user(url, ""))
	require.Equal(t, "ann", user(strings.Replace(url, "http", "ws", 1)+"?a=b", "ann"))
	require.Equal(t, "another", user(front, "ann"))
	require.Equal(t, "same", user(front, "same"))
	_, err := hub.Dial(ctx, front, hub.DialOptions{AccessToken: func(context.Context) (string, error) { return "banned", nil }})
	var remote *hub.RemoteError
	require.ErrorAs(t, err, &remote)
	require.Equal(t, "You are banned.", remote.Text)

	for name, answer := range map[string]string{
		"again and again":    `{"url":"SELF"}`,
		"the scheme \"ftp\"": `{"url":"ftp://x"}`,
		"offers no WebSock":  `{"negotiateVersion":1,"connectionId":"a","connectionToken":"b","availableTransports":[{"transport":"LongPolling","transferFormats":["Text"]}]}`,
		"needs Text":         `{"negotiateVersion":1,"connectionId":"a","connectionToken":"b","availableTransports":[{"transport":"WebSockets","transferFormats":["Binary"]}]}`,
		"no id":              `{"negotiateVersion":1,"connectionId":"a","availableTransports":[{"transport":"WebSockets","transferFormats":["Text"]}]}`,
		"invalid character":  `nonsense`,
		"is too long":        `"` + strings.Repeat("x", 100_000) + `"`,
		"refused with 404":   "",
		"refused with 200":   `{"connectionId":"a","availableTransports":[{"transport":"WebSockets","transferFormats":["Text"]}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			var self string
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if answer == "" {
					http.NotFound(w, nil)
				}
				fmt.Fprint(w, strings.ReplaceAll(answer, "SELF", self))
			}))
			defer srv.Close()
			self = srv.URL
			_, err := hub.Dial(ctx, srv.URL, hub.DialOptions{})
			require.ErrorContains(t, err, name)
		})
	}
}

// A connection that broke goes on where it was: checklist 49 to 52, from the client's
// side.
func TestConnectionResumes(t *testing.T) {
	ctx := patient(t)
	h, url := serve(t, everything(nil), hub.Options{StatefulReconnect: true})
	var line cable
	said := make(chan int, 10_000)
	c := client(t, url, hub.DialOptions{
		StatefulReconnect: true, WebSocket: wsmanager.DialOptions{NetDial: line.dial},
		Handlers:       hub.Methods{"message": func(n int) { said <- n }},
		OnReconnecting: func(err error) { t.Errorf("it was not resumed: %v", err) },
	})
	id := c.ID()
	require.NoError(t, c.Call(ctx, "Void"), "so that the hub has it by its id")
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
	require.Equal(t, rounds*each*(rounds*each-1)/2, over(t, sum))
	for want := range next {
		require.Equal(t, want, over(t, said), "each once, in order")
	}
	require.Equal(t, id, c.ID())
	end(t, c)
	require.Empty(t, said)
}

// A connection that can't be resumed is made anew.
func TestConnectionThatIsNotResumed(t *testing.T) {
	ctx := patient(t)
	h, url := serve(t, everything(nil), hub.Options{StatefulReconnect: true, ResumeWindow: time.Nanosecond})
	var line cable
	again := make(chan string, 1)
	c := client(t, url, hub.DialOptions{
		StatefulReconnect: true, WebSocket: wsmanager.DialOptions{NetDial: line.dial}, OnReconnected: func(id string) { again <- id },
		RetryDelay: func(hub.Retry) (time.Duration, bool) { return time.Millisecond, true },
	})
	id := c.ID()
	waiting := make(chan error, 1)
	go func() { waiting <- c.Call(ctx, "Wait") }()
	line.kill(true)
	line.cut()
	require.ErrorIs(t, over(t, waiting), hub.ErrDisconnected)
	line.kill(false)
	require.NotEqual(t, id, over(t, again))
	require.NoError(t, c.Call(ctx, "Void"))
	require.Eventually(t, func() bool { return h.Len() == 1 }, wstest.Patience, time.Millisecond)
}

// An answer to a question of a connection that is over would be one to another question
// on the next.
func TestConnectionAnswersNoOldQuestions(t *testing.T) {
	ctx := patient(t)
	release := make(chan struct{})
	asked := make(chan int, 2)
	_, url := serve(t, everything(nil), hub.Options{})
	var line cable
	again := make(chan string, 1)
	c := client(t, url, hub.DialOptions{
		WebSocket:     wsmanager.DialOptions{NetDial: line.dial},
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
	require.Equal(t, 1, over(t, asked))
	line.cut()
	require.ErrorIs(t, over(t, first), hub.ErrDisconnected)
	over(t, again)
	second := make(chan int, 1)
	go func() {
		n, err := hub.Invoke[int](ctx, c, "AskClient", "slow", 2, 0)
		if err != nil {
			t.Error(err)
		}
		second <- n
	}()
	require.NoError(t, c.Call(ctx, "Void"), "so that the question is there")
	close(release)
	require.Equal(t, 2, over(t, asked))
	require.Equal(t, 2, over(t, second))
}

// The end of what BaseContext says is the Connection's.
func TestConnectionEndsWithItsBase(t *testing.T) {
	_, url := serve(t, everything(nil), hub.Options{})
	base, cancel := context.WithCancel(context.Background())
	c := client(t, url, hub.DialOptions{WebSocket: wsmanager.DialOptions{Options: wsmanager.Options{BaseContext: base}}})
	cancel()
	over(t, c.Done())
	require.NoError(t, c.Err())
}
