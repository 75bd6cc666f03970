package hub_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// Invoke returns the client's result or error.
func TestInvoke(t *testing.T) { onEachDriver(t, testInvoke) }

func testInvoke(t *testing.T) {
	h, url := serve(t, hub.Methods{
		"ID": func(ctx *hub.Context) string { return ctx.ConnectionID() },
		"Ask": func(ctx *hub.Context, a, b int) (int, error) {
			return hub.Invoke[int](ctx, ctx.Clients().Caller(), "clientAdd", a, b)
		},
		"Add": func(a, b int) int { return a + b },
	}, hub.Options{})
	p := connect(t, url)
	p.send(invocation("1", "Ask", 5, 6))
	p.expect(`{"type":1,"invocationId":"s1","target":"clientAdd","arguments":[5,6]}`)
	// The client calls the hub before it answers: another call may run meanwhile.
	p.result("3", "Add", 1, 2)
	p.send(`{"type":3,"invocationId":"s1","result":11}`)
	p.expect(`{"type":3,"invocationId":"1","result":11}`)

	// An error of the client is not passed on to the caller unless the method does so.
	p.send(invocation("1", "Ask", 5, 6))
	p.expect(`{"type":1,"invocationId":"s2","target":"clientAdd","arguments":[5,6]}`)
	p.send(`{"type":3,"invocationId":"s2","error":"Client didn't provide a result."}`)
	p.expect(`{"type":3,"invocationId":"1","error":"An unexpected error occurred invoking 'Ask' on the server."}`)

	// Outside of calls.
	id := strings.Trim(strings.TrimPrefix(p.call("id", "ID"), `{"type":3,"invocationId":"id","result":`), `"}`)
	to := h.Clients().Client(id)
	ask := func(ctx context.Context) <-chan error {
		done := make(chan error, 1)
		go func() {
			v, err := hub.Invoke[*string](ctx, to, "m")
			if v != nil {
				err = errors.Join(err, errors.New(*v))
			}
			done <- err
		}()
		return done
	}
	for i, row := range []struct {
		answer string
		check  func(error)
	}{
		{`"result":"text"`, func(err error) { require.EqualError(t, err, "text") }},
		{`"result":null`, func(err error) { require.NoError(t, err) }},
		{`"x":1`, func(err error) { require.NoError(t, err) }},
		{`"result":5`, func(err error) { require.ErrorContains(t, err, `decoding the result of the client's "m"`) }},
		{`"error":"Error: no"`, func(err error) {
			var re *hub.RemoteError
			require.ErrorAs(t, err, &re)
			require.Equal(t, &hub.RemoteError{Method: "m", Text: "Error: no"}, re)
		}},
	} {
		done := ask(t.Context())
		p.expect(fmt.Sprintf(`{"type":1,"invocationId":"s%d","target":"m","arguments":[]}`, i+3))
		p.send(fmt.Sprintf(`{"type":3,"invocationId":"s%d",%s}`, i+3, row.answer))
		row.check(<-done)
	}

	// The client does not answer before the context ends, and answers afterwards.
	ctx, cancel := context.WithCancel(t.Context())
	done := ask(ctx)
	p.expect(`{"type":1,"invocationId":"s8","target":"m","arguments":[]}`)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	p.send(`{"type":3,"invocationId":"s8","result":"late"}`)
	p.result("3", "Add", 1, 2)
	_, err := hub.Invoke[int](t.Context(), to, "m", func() {})
	require.ErrorContains(t, err, `argument 1 of "m"`)
	_, err = hub.Invoke[int](t.Context(), h.Clients().Client("unknown"), "m")
	require.ErrorIs(t, err, hub.ErrNoConnection)
	done = ask(t.Context())
	p.record()
	p.SendClose(1000, "")
	require.ErrorIs(t, <-done, hub.ErrClosed)
}

// Many invocations at once, beside a stream of the client with a similar id.
func TestManyInvokes(t *testing.T) { onEachDriver(t, testManyInvokes) }

func testManyInvokes(t *testing.T) {
	_, url := serve(t, hub.Methods{
		"Ask": func(ctx *hub.Context, n int) (int, error) {
			return hub.Invoke[int](ctx, ctx.Clients().Caller(), "m", n)
		},
		"Sum": func(items <-chan int) int {
			n := 0
			for i := range items {
				n += i
			}
			return n
		},
	}, hub.Options{})
	p := connect(t, url)
	p.send(`{"type":1,"invocationId":"sum","target":"Sum","arguments":[],"streamIds":["1"]}`, `{"type":2,"invocationId":"1","item":4}`)
	for i := range 30 {
		p.send(invocation(fmt.Sprint(i), "Ask", i))
	}
	for i := range 30 { // they arrive in order, although none has been answered
		p.expect(fmt.Sprintf(`{"type":1,"invocationId":"s%d","target":"m","arguments":[%d]}`, i+1, i))
	}
	p.send(`{"type":3,"invocationId":"1"}`) // the end of the stream answers no invocation
	p.expect(`{"type":3,"invocationId":"sum","result":4}`)
	for i := range 30 {
		p.send(fmt.Sprintf(`{"type":3,"invocationId":"s%d","result":%d}`, 30-i, 1000+30-i))
		p.expect(fmt.Sprintf(`{"type":3,"invocationId":"%d","result":%d}`, 29-i, 1000+30-i))
	}
}

// A method that has waited for its client continues when no other call runs: at most MaxParallelCalls run at a time.
func TestInvokeReacquiresSlot(t *testing.T) { onEachDriver(t, testInvokeReacquiresSlot) }

func testInvokeReacquiresSlot(t *testing.T) {
	began, end := make(chan bool, 3), make(chan bool)
	var running, most atomic.Int32
	work := func() {
		most.Store(max(most.Load(), running.Add(1)))
		began <- true
		<-end
		running.Add(-1)
	}
	_, url := serve(t, hub.Methods{
		"Ask": func(ctx *hub.Context) error {
			_, err := hub.Invoke[int](ctx, ctx.Clients().Caller(), "m")
			work()
			return err
		},
		"Work": work,
	}, hub.Options{})
	p := connect(t, url)
	p.send(invocation("1", "Ask"))
	p.record()
	p.send(invocation("2", "Work"), invocation("3", "Work"))
	<-began
	p.send(`{"type":3,"invocationId":"s1","result":1}`)
	end <- true
	p.expect(`{"type":3,"invocationId":"2","result":null}`)
	for range 2 { // the order of these two is not defined
		<-began
		end <- true
		p.record()
	}
	require.EqualValues(t, 1, most.Load())
}

// Hooks may invoke methods of the client.
func TestInvokeInConnected(t *testing.T) { onEachDriver(t, testInvokeInConnected) }

func testInvokeInConnected(t *testing.T) {
	_, url := serve(t, hub.Methods{"Get": func(ctx *hub.Context) any { v, _ := ctx.Items().Load("name"); return v }}, hub.Options{
		Connected: func(ctx *hub.Context) error {
			name, err := hub.Invoke[string](ctx, ctx.Clients().Caller(), "name")
			ctx.Items().Store("name", name)
			return err
		},
	})
	p := connect(t, url)
	p.send(invocation("1", "Get"))
	p.expect(`{"type":1,"invocationId":"s1","target":"name","arguments":[]}`)
	p.send(`{"type":3,"invocationId":"s1","result":"ann"}`)
	p.expect(`{"type":3,"invocationId":"1","result":"ann"}`)
}

// A client whose answer is behind items that cannot be buffered is disconnected.
func TestTooManyItemsBeforeAnswer(t *testing.T) { onEachDriver(t, testTooManyItemsBeforeAnswer) }

func testTooManyItemsBeforeAnswer(t *testing.T) {
	_, url := serve(t, hub.Methods{"Sum": func(items iter.Seq2[int, error]) {
		for _, err := range items {
			_ = err // only the number of items matters
		}
	}}, hub.Options{StreamBuffer: 2, Connected: func(ctx *hub.Context) error {
		_, err := hub.Invoke[string](ctx, ctx.Clients().Caller(), "name")
		return err
	}})
	p := connect(t, url)
	p.send(`{"type":1,"invocationId":"1","target":"Sum","arguments":[],"streamIds":["u"]}`)
	for range 5 {
		p.send(`{"type":2,"invocationId":"u","item":1}`)
	}
	require.Equal(t, closedWithError, p.readToClose(1000))
}

// A client whose answer is behind too many calls is disconnected.
func TestTooManyCallsBeforeAnswer(t *testing.T) { onEachDriver(t, testTooManyCallsBeforeAnswer) }

func testTooManyCallsBeforeAnswer(t *testing.T) {
	_, url := serve(t, hub.Methods{
		"Add": func(a, b int) int { return a + b },
		"Ask": func(ctx *hub.Context) (int, error) {
			return hub.Invoke[int](ctx, ctx.Clients().Caller(), "m")
		},
	}, hub.Options{
		Authenticate:    named,
		MaxPendingCalls: 2,
		Connected: func(ctx *hub.Context) error {
			if ctx.User() != "asked" {
				return nil
			}
			_, err := hub.Invoke[string](ctx, ctx.Clients().Caller(), "name")
			return err
		},
	})
	for user, method := range map[string]string{"asked": "Add", "": "Ask"} {
		p := connect(t, url+"?user="+user)
		for i := range 5 {
			p.send(invocation(fmt.Sprint(i), method))
		}
		p.readToClose(1000)
	}
}
