package hub_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// client connects to a hub with the Go client. The connection ends with the test.
func client(t testing.TB, url string, opts hub.DialOptions) *hub.Connection {
	t.Helper()
	if opts.Logger == nil {
		opts.Logger = optionsWithoutLog().Logger
	}
	c, err := hub.Dial(testContext(t), url, opts)
	require.NoError(t, err)
	t.Cleanup(func() { end(t, c) })
	return c
}

// testContext returns a context with a deadline that a passing test does not reach.
func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), wstest.Patience)
	t.Cleanup(cancel)
	return ctx
}

func end(t testing.TB, c *hub.Connection) {
	t.Helper()
	c.Close()
	awaitValue(t, c.Done())
}

// awaitValue waits for a value or the end of a channel.
func awaitValue[T any](t testing.TB, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(wstest.Patience):
		t.Fatal("timed out")
	}
	return v
}

// testMethods returns methods for all kinds of calls.
func testMethods(release <-chan struct{}) hub.Methods {
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

func TestConnectionCalls(t *testing.T) { onEachDriver(t, testConnectionCalls) }

func testConnectionCalls(t *testing.T) {
	for _, skip := range []bool{false, true} {
		t.Run(fmt.Sprintf("skip negotiation %v", skip), func(t *testing.T) {
			ctx := testContext(t)
			_, url := serve(t, testMethods(nil), hub.Options{})
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
			require.NoError(t, c.Call(ctx, "Add", 1, 2), "the result is ignored")
			text, err := hub.Invoke[string](ctx, c, "Echo", "<\x1e\u2028😀>")
			require.NoError(t, err)
			require.Equal(t, "<\x1e\u2028😀>", text)

			var remote *hub.RemoteError
			require.ErrorAs(t, c.Call(ctx, "Fail"), &remote)
			require.Equal(t, &hub.RemoteError{Method: "Fail", Text: "boom"}, remote)
			require.ErrorAs(t, c.Call(ctx, "Nothing"), &remote)
			require.Equal(t, "Unknown hub method 'Nothing'", remote.Text)
			require.ErrorAs(t, c.Call(ctx, "Counter", 1), &remote, "a method with a stream needs Stream")
			_, err = hub.Invoke[int](ctx, c, "Echo", "text")
			require.ErrorContains(t, err, `hub: decoding the result of "Echo"`)
			require.ErrorContains(t, c.Call(ctx, "Echo", func() {}), `hub: encoding argument 1 of "Echo"`)

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
			awaitValue(t, c.Done())
			require.NoError(t, c.Err())
			require.False(t, c.Connected())
			require.ErrorIs(t, c.Call(ctx, "Void"), hub.ErrClosed)
			require.ErrorIs(t, c.Send(ctx, "Void"), hub.ErrClosed)
		})
	}
}

// The end of a context ends the context of the method.
func TestConnectionCancelsCalls(t *testing.T) { onEachDriver(t, testConnectionCancelsCalls) }

func testConnectionCancelsCalls(t *testing.T) {
	began, canceled := make(chan bool, 1), make(chan error, 1)
	_, url := serve(t, hub.Methods{
		"Wait": func(ctx *hub.Context) { began <- true; <-ctx.Done(); canceled <- context.Cause(ctx) },
		"Void": func() {},
	}, hub.Options{})
	c := client(t, url, hub.DialOptions{})
	ctx, cancel := context.WithCancelCause(testContext(t))
	reason := errors.New("canceled by the test")
	go func() { <-began; cancel(reason) }()
	require.ErrorIs(t, c.Call(ctx, "Wait"), reason)
	require.ErrorIs(t, awaitValue(t, canceled), hub.ErrCanceled)
	require.ErrorIs(t, c.Call(ctx, "Void"), reason, "the call is not sent")
	require.NoError(t, c.Call(testContext(t), "Void"))
}

func TestConnectionStreams(t *testing.T) { onEachDriver(t, testConnectionStreams) }

func testConnectionStreams(t *testing.T) {
	ctx := testContext(t)
	_, url := serve(t, testMethods(nil), hub.Options{})
	c := client(t, url, hub.DialOptions{StreamBuffer: 2})
	var items []int
	stream := hub.Stream[int](ctx, c, "Counter", 500)
	for range 2 { // each loop calls the method anew
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
		// The answer arrives behind items that are still buffered.
		sum, err := hub.Invoke[int](ctx, c, "Add", n, 1)
		require.NoError(t, err)
		require.Equal(t, n+1, sum)
	}
	for _, err := range hub.Stream[int](ctx, c, "Counter", 0) {
		require.NoError(t, err)
		t.Fatal("an empty stream has an item")
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
	}), `hub: decoding an item of "Counter"`)
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

// If no items of a stream are taken while the client waits for an answer behind them, the stream fails and the
// connection stays open.
func TestConnectionReceiveBuffer(t *testing.T) { onEachDriver(t, testConnectionReceiveBuffer) }

func testConnectionReceiveBuffer(t *testing.T) {
	ctx := testContext(t)
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
	c := client(t, url, hub.DialOptions{StreamBuffer: 2, MaxReceiveSize: 20_000, ReceiveBuffer: 20_000})
	n := 0
	var failure error
	for _, err := range hub.Stream[string](ctx, c, "Flood") {
		if n++; n == 1 {
			require.NoError(t, c.Call(ctx, "Hold")) // Hold waits for the end of Flood
		}
		failure = err
	}
	require.ErrorIs(t, failure, hub.ErrSlowConsumer)
	require.LessOrEqual(t, n, 22)
	require.NoError(t, c.Call(ctx, "Hold"))
}

func TestConnectionUploads(t *testing.T) { onEachDriver(t, testConnectionUploads) }

func testConnectionUploads(t *testing.T) {
	ctx := testContext(t)
	_, url := serve(t, testMethods(nil), hub.Options{})
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

	// First returns before the channel ends; the rest of the upload is not sent.
	endless := make(chan int, 1)
	endless <- 7
	first, err := hub.Invoke[int](ctx, c, "First", endless)
	require.NoError(t, err)
	require.Equal(t, 7, first)
	require.NoError(t, c.Send(ctx, "Sum", count(100, nil)))
	require.NoError(t, c.Call(ctx, "Void"))
}

// Handlers of the client: results, errors, panics, nested calls and order.
func TestConnectionHandlers(t *testing.T) { onEachDriver(t, testConnectionHandlers) }

func testConnectionHandlers(t *testing.T) {
	ctx := testContext(t)
	_, url := serve(t, testMethods(nil), hub.Options{})
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
			return hub.Invoke[int](ctx, c, "AskClient", "clientAdd", a, b) // needs another handler to run
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
		"unknown":    "Client didn't provide a result.",
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
		require.Equal(t, fmt.Sprint(i), awaitValue(t, said), "in order")
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

// A loop over a stream may send: the acknowledgement that makes space arrives behind the stream's items.
func TestConnectionSendsInStreamLoop(t *testing.T) { onEachDriver(t, testConnectionSendsInStreamLoop) }

func testConnectionSendsInStreamLoop(t *testing.T) {
	for _, stateful := range []bool{false, true} {
		t.Run(fmt.Sprintf("stateful %v", stateful), func(t *testing.T) {
			ctx := testContext(t)
			_, url := serve(t, testMethods(nil), hub.Options{StatefulReconnect: stateful})
			c := client(t, url, hub.DialOptions{StreamBuffer: 2, StatefulReconnect: stateful, StatefulBuffer: 1000})
			n := 0
			text := strings.Repeat("x", 500)
			for _, err := range hub.Stream[int](ctx, c, "Counter", 500) {
				require.NoError(t, err)
				if n++; n == 100 {
					for range 3 { // the last one waits for the hub's acknowledgement, which comes once a second
						require.NoError(t, c.Send(ctx, "Echo", text))
					}
				}
			}
			require.Equal(t, 500, n)
		})
	}
}
