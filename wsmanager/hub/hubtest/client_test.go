package hubtest_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/hub/hubtest"
)

type point struct {
	X int `json:"x"`
	Y int `json:"y"`
}

func methods() hub.Methods {
	return hub.Methods{
		"Add":  func(a, b int) int { return a + b },
		"Fail": func() error { return hub.Error("boom") },
		"User": func(ctx *hub.Context) string { return ctx.User() },
		"Tell": func(ctx *hub.Context, method string, args []any) error {
			return ctx.Clients().All().Send(method, args...)
		},
		"Count": func(n int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for i := range n {
					if !yield(i, nil) {
						return
					}
				}
			}
		},
		"Sum": func(items iter.Seq2[int, error]) (sum int, err error) {
			for n, err := range items {
				if err != nil {
					return 0, err
				}
				sum += n
			}
			return sum, nil
		},
		"Ask": func(ctx *hub.Context, a int) (int, error) {
			n, err := hub.Invoke[int](ctx, ctx.Clients().Caller(), "double", a)
			var remote *hub.RemoteError
			if errors.As(err, &remote) {
				return 0, hub.Error(remote.Text)
			}
			return n, err
		},
		"Abort": func(ctx *hub.Context) { ctx.Abort() },
		"Wait":  func(ctx *hub.Context) { <-ctx.Done() },
	}
}

func newHub(t *testing.T, opts hub.Options) *hub.Hub {
	t.Helper()
	opts.Logger = slog.New(slog.DiscardHandler)

	h, err := hub.New(methods(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.Shutdown(context.Background())) })
	return h
}

// Calls of all kinds.
func TestCalls(t *testing.T) {
	h := newHub(t, hub.Options{})
	c := hubtest.Connect(t, h, hubtest.Options{})
	require.Equal(t, 42, hubtest.Invoke[int](c, "Add", 40, 2))
	require.Equal(t, "boom", c.CallFails("Fail"))
	require.Equal(t, []int{0, 1, 2}, slices.Collect(hubtest.Stream[int](c, "Count", 3)))
	for n := range hubtest.Stream[int](c, "Count", 1_000_000) {
		if n == 3 {
			break
		}
	}
	require.Equal(t, 6, hubtest.Invoke[int](c, "Sum", slices.Values([]int{1, 2, 3})))
	require.Equal(t, "Client didn't provide a result.", c.CallFails("Ask", 5))
	off := c.On("Double", func(n int) int { return 2 * n })
	require.Equal(t, 10, hubtest.Invoke[int](c, "Ask", 5))
	off()
	off()
	require.Equal(t, "Client didn't provide a result.", c.CallFails("Ask", 5))
	c.ExpectNone()
}

// Events arrive in order, with arguments of the types that the test expects.
func TestEvents(t *testing.T) {
	h := newHub(t, hub.Options{})
	ann, bob := hubtest.Connect(t, h, hubtest.Options{}), hubtest.Connect(t, h, hubtest.Options{})
	require.NoError(t, h.Clients().All().Send("moved", point{1, 2}, nil, []string{"a"}))
	ann.Send("Tell", "said", []any{"hi"})
	for _, c := range []*hubtest.Client{ann, bob} {
		c.Expect("moved", point{1, 2}, nil, []string{"a"})
		e := c.Next()
		require.Equal(t, "said", e.Method)
		require.Equal(t, 1, e.Len())
		require.Equal(t, `said("hi")`, e.String())
		var text string
		require.NoError(t, e.Decode(&text))
		require.Equal(t, "hi", text)
		require.ErrorContains(t, e.Decode(), "has 1 arguments, not 0")
		require.Error(t, e.Decode(new(int)))
		c.ExpectNone()
	}
	heard := make(chan string, 1)
	bob.On("said", func(text string) { heard <- text })
	ann.Call("Tell", "said", []any{"again"})
	require.Equal(t, "again", <-heard)
	bob.ExpectNone()
	ann.Expect("said", "again")
	ann.Close()
	require.Eventually(t, func() bool { return h.Len() == 1 }, time.Minute, time.Millisecond)
}

// A test fails that must notice something.
func TestFailures(t *testing.T) {
	for name, row := range map[string]struct {
		act  func(c *hubtest.Client)
		want string
	}{
		"another event":       {func(c *hubtest.Client) { c.Call("Tell", "x", []any{1}); c.Expect("y", 1) }, "got the event x(1), want y"},
		"another argument":    {func(c *hubtest.Client) { c.Call("Tell", "x", []any{1}); c.Expect("x", 2) }, "argument 1 is 1"},
		"another type":        {func(c *hubtest.Client) { c.Call("Tell", "x", []any{1}); c.Expect("x", "1") }, "argument 1: "},
		"too few arguments":   {func(c *hubtest.Client) { c.Call("Tell", "x", []any{1}); c.Expect("x") }, "another event"},
		"an event":            {func(c *hubtest.Client) { c.Call("Tell", "x", []any{}); c.ExpectNone() }, "got the event x(), want none"},
		"no event":            {func(c *hubtest.Client) { c.Expect("x") }, "longer than Options.Patience"},
		"no event, next":      {func(c *hubtest.Client) { c.Next() }, "longer than Options.Patience"},
		"an end, no event":    {func(c *hubtest.Client) { c.Send("Abort"); c.Next() }, "has ended"},
		"an error":            {func(c *hubtest.Client) { c.Call("Fail") }, "boom"},
		"an error, invoked":   {func(c *hubtest.Client) { hubtest.Invoke[int](c, "Fail") }, "boom"},
		"a stream's error":    {func(c *hubtest.Client) { _ = slices.Collect(hubtest.Stream[int](c, "Add", 1, 2)) }, "non-streaming"},
		"no error":            {func(c *hubtest.Client) { c.CallFails("Add", 1, 2) }, "not an error of the hub"},
		"no end":              {func(c *hubtest.Client) { _ = c.WaitClosed() }, "has not ended"},
		"a call that is long": {func(c *hubtest.Client) { c.Call("Wait") }, "longer than Options.Patience"},
		"resume":              {func(c *hubtest.Client) { c.Resume() }, "Options.Stateful"},
		"a lost connection":   {func(c *hubtest.Client) { c.Cut(); _ = c.WaitClosed(); c.ExpectNone() }, "hub"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHub(t, hub.Options{})
				require.Contains(t, textOf(t, func(f testing.TB) {
					row.act(hubtest.Connect(f, h, hubtest.Options{Patience: time.Minute}))
				}), row.want)
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		h, other := newHub(t, hub.Options{}), newHub(t, hub.Options{})
		require.Contains(t, textOf(t, func(f testing.TB) { hubtest.Connect(f, h, hubtest.Options{Handler: other}) }), "another hub")
	})
	h := newHub(t, hub.Options{})
	require.Contains(t, textOf(t, func(f testing.TB) { _ = hubtest.ConnectFails(f, h, hubtest.Options{}) }), "has accepted")
}

// textOf returns the text with which a test fails.
func textOf(t *testing.T, test func(testing.TB)) string {
	t.Helper()
	f := &failure{TB: t}
	run := func(fn func()) { // Fatalf ends its goroutine
		done := make(chan struct{})
		go func() { defer close(done); fn() }()
		<-done
	}
	run(func() { test(f) })
	for _, fn := range slices.Backward(f.cleanups) {
		run(fn)
	}
	return f.text
}

// failure is a test that may fail.
type failure struct {
	testing.TB
	text     string
	cleanups []func()
}

func (f *failure) Helper()           {}
func (f *failure) Cleanup(fn func()) { f.cleanups = append(f.cleanups, fn) }

func (f *failure) Fatalf(format string, args ...any) {
	if f.text == "" {
		f.text = fmt.Sprintf(format, args...)
	}
	runtime.Goexit()
}

// Requests have the path, the token and the headers of the options, and pass through the middleware.
func TestOptions(t *testing.T) {
	h := newHub(t, hub.Options{Authenticate: func(r *http.Request, token string) (hub.Identity, error) {
		if token == "" {
			return hub.Identity{}, wsmanager.Reject(http.StatusUnauthorized, "no token")
		}
		return hub.Identity{User: token + r.URL.Query().Get("room") + r.Header.Get("X-Room")}, nil
	}})
	paths := make(chan string, 10)
	logged := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { paths <- r.URL.Path; h.ServeHTTP(w, r) })
	c := hubtest.Connect(t, h, hubtest.Options{
		Handler: logged, Path: "/live?room=a", Token: "ann", Header: http.Header{"X-Room": {"b"}},
		Handlers: hub.Methods{"double": func(n int) int { return 2 * n }},
	})
	require.Equal(t, "annab", hubtest.Invoke[string](c, "User"))
	require.Equal(t, 6, hubtest.Invoke[int](c, "Ask", 3))
	require.Equal(t, []string{"/live/negotiate", "/live"}, []string{<-paths, <-paths})
	var refused *wsmanager.RefusedError
	require.ErrorAs(t, hubtest.ConnectFails(t, h, hubtest.Options{}), &refused)
	require.Equal(t, http.StatusUnauthorized, refused.StatusCode)
	require.Equal(t, c.ID(), c.Connection().ID())
}

// The end of a connection.
func TestWaitClosed(t *testing.T) {
	h := newHub(t, hub.Options{Connected: func(ctx *hub.Context) error {
		if ctx.Value(http.LocalAddrContextKey) == nil && ctx.User() == "" {
			return nil
		}
		return hub.Error("full")
	}, Authenticate: func(_ *http.Request, token string) (hub.Identity, error) { return hub.Identity{User: token}, nil }})
	c := hubtest.Connect(t, h, hubtest.Options{})
	c.Send("Abort")
	require.NoError(t, c.WaitClosed())
	var closed *hub.ClosedError
	require.ErrorAs(t, hubtest.Connect(t, h, hubtest.Options{Token: "x"}).WaitClosed(), &closed)
	require.Equal(t, "full", closed.Text)
	c = hubtest.Connect(t, h, hubtest.Options{})
	c.Cut()
	require.Error(t, c.WaitClosed(), "without stateful reconnect a cut is the end")
}

// A connection is cut and resumed without loss, several times, in fake time.
func TestCutAndResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		h := newHub(t, hub.Options{StatefulReconnect: true, Disconnected: func(_ *hub.Context, err error) { ended <- err }})
		c := hubtest.Connect(t, h, hubtest.Options{Stateful: true, Patience: time.Hour})
		id := c.ID()
		for i := range 5 {
			c.Cut()
			require.NoError(t, h.Clients().Client(id).Send("tick", i))
			time.Sleep(10 * time.Second)
			c.Resume()
			c.Expect("tick", i)
			require.Equal(t, 2*i, hubtest.Invoke[int](c, "Add", i, i))
			c.ExpectNone()
		}
		require.Equal(t, id, c.ID())
		require.Empty(t, ended)
		begin := time.Now()
		c.Cut()
		require.Error(t, <-ended)
		require.InDelta(t, 15, time.Since(begin).Seconds(), 0.1, "ResumeWindow")
		require.Error(t, c.WaitClosed())
	})
}

// Half an hour of pings takes no time.
func TestFakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, hub.Options{})
		c := hubtest.Connect(t, h, hubtest.Options{Patience: time.Hour})
		time.Sleep(20 * time.Minute)
		require.Equal(t, 3, hubtest.Invoke[int](c, "Add", 1, 2))
		go func() {
			time.Sleep(10 * time.Minute)
			_ = h.Clients().All().Send("late")
		}()
		c.Expect("late")
	})
}

// A long event is not cut.
func TestBigEvent(t *testing.T) {
	h := newHub(t, hub.Options{})
	c := hubtest.Connect(t, h, hubtest.Options{})
	big := strings.Repeat("x", 200_000)
	require.NoError(t, h.Clients().All().Send("big", big))
	c.Expect("big", big)
}
