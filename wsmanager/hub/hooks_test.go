package hub_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

func TestFilters(t *testing.T) { onEachDriver(t, testFilters) }

func testFilters(t *testing.T) {
	steps := make(chan string, 100)
	filter := func(name string) hub.Filter {
		return func(c *hub.Call, next func() (any, error)) (any, error) {
			steps <- fmt.Sprint(name, " ", c.Method(), c.Args(), c.Context().User())
			v, err := next()
			steps <- fmt.Sprint(name, " ", err)
			return v, err
		}
	}
	_, url := serve(t, hub.Methods{
		"Add":  func(ctx *hub.Context, a, b int) int { return a + b },
		"Fail": func() error { return hub.Error("boom") },
		"Deny": hub.Method{
			Func: func(name string) string { return name },
			Authorize: func(c *hub.Call) error {
				if c.Args()[0] != "ann" || c.Context().User() != "me" {
					return hub.Errorf("%s must not be %v", c.Method(), c.Args()[0])
				}
				return nil
			},
		},
		"Count": func() iter.Seq[int] { return func(yield func(int) bool) { yield(1) } },
		"Other": func() int { return 1 },
		"Break": func() <-chan int { return nil },
	}, hub.Options{Authenticate: named, Filters: []hub.Filter{filter("outer"), func(c *hub.Call, next func() (any, error)) (any, error) {
		switch c.Method() {
		case "Other":
			return "instead", nil
		case "Count":
			s, err := next()
			first := s.(iter.Seq[int])
			return iter.Seq[int](func(yield func(int) bool) { first(func(n int) bool { return yield(n + 1) }) }), err
		case "Break":
			return 5, nil
		}
		return next()
	}, filter("inner")}})
	p := connect(t, url+"?user=me")
	p.result("3", "add", 1, 2)
	for _, want := range []string{"outer Add[1 2]me", "inner Add[1 2]me", "inner <nil>", "outer <nil>"} {
		require.Equal(t, want, <-steps)
	}
	p.failure("boom", "Fail")
	for _, want := range []string{"outer Fail[]me", "inner Fail[]me", "inner boom", "outer boom"} {
		require.Equal(t, want, <-steps)
	}
	p.failure("Deny must not be bob", "deny", "bob")
	require.Empty(t, steps, "Authorize comes before the filters")
	p.result(`"ann"`, "Deny", "ann")
	p.result(`"instead"`, "Other")
	p.send(streamInvocation("s", "Count"))
	p.expect(`{"type":2,"invocationId":"s","item":2}`, `{"type":3,"invocationId":"s"}`)
	p.send(streamInvocation("s", "Break"))
	p.expect(`{"type":3,"invocationId":"s","error":"An unexpected error occurred invoking 'Break' on the server."}`)
}

// Connected runs before all calls and Disconnected after them, each once.
func TestHooks(t *testing.T) { onEachDriver(t, testHooks) }

func testHooks(t *testing.T) {
	type entry struct {
		step string
		err  error
	}
	steps, gate := make(chan entry, 10), make(chan bool)
	var h *hub.Hub
	h, url := serve(t, hub.Methods{"Call": func() { steps <- entry{step: "call"} }, "Abort": func(ctx *hub.Context) { ctx.Abort() }}, hub.Options{
		Authenticate: named,
		Connected: func(ctx *hub.Context) error {
			<-gate
			steps <- entry{step: "connected " + ctx.User()}
			_ = ctx.Join("g") // one client has disconnected
			return nil
		},
		Disconnected: func(ctx *hub.Context, err error) {
			if ctx.Err() != nil {
				err = errors.Join(err, errors.New("the context of Disconnected has ended"))
			}
			if ctx.Clients().Caller().Send("x") == nil {
				err = errors.Join(err, errors.New("the hub still has the connection"))
			}
			steps <- entry{"disconnected " + ctx.User(), err}
		},
	})
	next := func(step string) error {
		t.Helper()
		e := <-steps
		require.Equal(t, step, e.step)
		return e.err
	}
	p := connect(t, url+"?user=a")
	p.send(invocation("1", "Call"))
	require.Empty(t, steps)
	gate <- true
	_ = next("connected a")
	_ = next("call")
	p.expect(`{"type":3,"invocationId":"1","result":null}`)
	require.NoError(t, h.Clients().Group("g").Send("say"))
	p.expect(`{"type":1,"target":"say","arguments":[]}`)
	p.send(`{"type":7}`) // like stop() of a client
	p.ExpectClose(1000)
	require.NoError(t, next("disconnected a"))

	p = connect(t, url+"?user=b")
	gate <- true
	_ = next("connected b")
	p.Kill()
	require.Error(t, next("disconnected b"))

	// Abort ends a connection without an error.
	p = connect(t, url+"?user=c")
	gate <- true
	_ = next("connected c")
	p.send(invocation("1", "Abort"))
	require.Equal(t, `{"type":7}`, p.readToClose(1000))
	require.NoError(t, next("disconnected c"))

	// A connection that ends before its handshake is done calls no hooks.
	dial(t, url+"?user=d").SendClose(1000, "")

	// A connection ends while Connected runs: Disconnected waits for Connected.
	p = connect(t, url+"?user=e")
	p.SendClose(1000, "")
	p.ExpectClose(1000)
	require.Empty(t, steps)
	gate <- true
	_ = next("connected e")
	require.NoError(t, next("disconnected e"))
	require.Empty(t, steps)

	require.ErrorIs(t, h.Clients().Client("unknown").Disconnect(), hub.ErrNoConnection)
}

func TestConnectedFails(t *testing.T) { onEachDriver(t, testConnectedFails) }

func testConnectedFails(t *testing.T) {
	logs := newLines()
	ended := make(chan error, 3)
	_, url := serve(t, hub.Methods{"Call": func() { panic("never") }}, hub.Options{
		Logger:       slog.New(slog.NewTextHandler(logs, nil)),
		Authenticate: named,
		Connected: func(ctx *hub.Context) error {
			switch ctx.User() {
			case "told":
				return hub.Error("The room is full.")
			case "hidden":
				return errors.New("secret")
			}
			panic("secret")
		},
		Disconnected: func(_ *hub.Context, err error) { ended <- err },
	})
	for user, want := range map[string]string{
		"told":   `{"type":7,"error":"The room is full."}`,
		"hidden": `{"type":7,"error":"The server failed to accept the connection."}`,
		"panic":  `{"type":7,"error":"The server failed to accept the connection."}`,
	} {
		p := connect(t, url+"?user="+user)
		p.send(invocation("1", "Call"))
		require.Equal(t, want, p.readToClose(1011))
		require.Error(t, <-ended)
	}
	require.Contains(t, logs.take(), "hub hook panicked")
}

// Queued calls do not begin if Connected returns an error.
func TestConnectedFailsBeforeQueuedCalls(t *testing.T) {
	var calls atomic.Int64
	runInFakeTime(t, hub.Methods{"Call": func() { calls.Add(1) }}, hub.Options{
		MaxParallelCalls: 100,
		Connected:        func(*hub.Context) error { time.Sleep(time.Second); return hub.Error("no") },
	}, func(t *testing.T, h *hub.Hub) {
		for range 20 {
			p := dialHandler(t, h, "/hub").shake()
			for range 100 {
				p.send(invocation("", "Call"))
			}
			require.Equal(t, `{"type":7,"error":"no"}`, p.readToClose(1011))
		}
		require.Zero(t, calls.Load())
	})
}

// A panic in Disconnected is logged and has no other effect.
func TestDisconnectedPanics(t *testing.T) { onEachDriver(t, testDisconnectedPanics) }

func testDisconnectedPanics(t *testing.T) {
	logs := newLines()
	h, url := serve(t, nil, hub.Options{Logger: slog.New(slog.NewTextHandler(logs, nil)), Disconnected: func(*hub.Context, error) { panic("oops") }})
	p := connect(t, url)
	p.SendClose(1000, "")
	p.ExpectClose(1000)
	require.NoError(t, h.Shutdown(t.Context()))
	require.Contains(t, logs.take(), "oops")
}

// Shutdown ends connections and calls.
func TestShutdown(t *testing.T) { onEachDriver(t, testShutdown) }

func testShutdown(t *testing.T) {
	began, causes := make(chan bool), make(chan error, 2)
	h, url := serve(t, hub.Methods{"Wait": func(ctx *hub.Context) { began <- true; <-ctx.Done(); causes <- context.Cause(ctx) }}, hub.Options{
		StatefulReconnect: true,
		Disconnected:      func(_ *hub.Context, err error) { causes <- err },
	})
	k := negotiate(t, url, "negotiateVersion=1&useStatefulReconnect=true")
	p := dial(t, url+"?id="+k.ConnectionToken)
	p.send(`{"protocol":"json","version":2}`)
	p.expect(`{}`)
	p.send(invocation("1", "Wait"))
	<-began
	done := make(chan error)
	go func() { done <- h.Shutdown(t.Context()) }()
	require.Equal(t, `{"type":7,"allowReconnect":true}`, p.readToClose(1000))
	require.NoError(t, <-done)
	require.ErrorIs(t, <-causes, hub.ErrShutdown)
	require.ErrorIs(t, <-causes, hub.ErrShutdown)
	res, err := http.Post(url+"/negotiate", "", nil)
	require.NoError(t, err)
	res.Body.Close()
	require.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
	require.Equal(t, http.StatusServiceUnavailable, status(t, url))
	require.NoError(t, h.Shutdown(t.Context()), "again")
}

// Shutdown waits for a method that does not return until its context ends.
func TestShutdownContext(t *testing.T) { onEachDriver(t, testShutdownContext) }

func testShutdownContext(t *testing.T) {
	began, end := make(chan bool), make(chan bool)
	h, url := serve(t, hub.Methods{"Wait": func() { began <- true; <-end }}, hub.Options{})
	p := connect(t, url)
	p.send(invocation("1", "Wait"))
	<-began
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorContains(t, h.Shutdown(ctx), "1 calls and hooks have not returned")
	close(end)
	require.NoError(t, h.Shutdown(t.Context()))
}

// A client that has read the answer to its handshake gets a Close message, even if Shutdown begins immediately
// afterwards.
func TestShutdownDuringHandshake(t *testing.T) {
	for range 500 {
		h, err := hub.New(nil, hub.Options{Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		srv := httptest.NewServer(h)
		p := dial(t, srv.URL+"/hub")
		p.send(`{"protocol":"json","version":1}`)
		done := make(chan error, 1)
		p.expect(`{}`)
		go func() { done <- h.Shutdown(t.Context()) }()
		require.Equal(t, `{"type":7,"allowReconnect":true}`, p.readToClose(1000))
		require.NoError(t, <-done)
		srv.Close()
	}
}
