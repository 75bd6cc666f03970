package hub_test

import (
	"iter"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// A stream that ends its goroutine has failed. Its caller gets an answer, and its id is free.
func TestStreamEndsItsGoroutine(t *testing.T) { onEachDriver(t, testStreamEndsItsGoroutine) }

func testStreamEndsItsGoroutine(t *testing.T) {
	h, url := serve(t, hub.Methods{"Do": func() iter.Seq[int] {
		return func(yield func(int) bool) {
			yield(1)
			runtime.Goexit()
		}
	}}, hub.Options{})
	p := connect(t, url)
	for range 2 {
		p.send(`{"type":4,"invocationId":"1","target":"Do","arguments":[]}`)
		p.expect(`{"type":2,"invocationId":"1","item":1}`, `{"type":3,"invocationId":"1","error":"An unexpected error occurred invoking 'Do' on the server."}`)
	}
	require.Eventually(t, func() bool { return h.Stats().PendingCalls == 0 }, wstest.Patience, time.Millisecond)
}

// A hook that ends its goroutine has failed: the connection is refused, and is not kept.
func TestConnectedEndsItsGoroutine(t *testing.T) { onEachDriver(t, testConnectedEndsItsGoroutine) }

func testConnectedEndsItsGoroutine(t *testing.T) {
	gone := make(chan struct{}, 1)
	h, url := serve(t, hub.Methods{"Do": func() {}}, hub.Options{
		Connected:    func(*hub.Context) error { runtime.Goexit(); return nil },
		Disconnected: func(*hub.Context, error) { gone <- struct{}{} },
	})
	p := connect(t, url)
	p.expect(`{"type":7,"error":"The server failed to accept the connection."}`)
	_ = p.Conn().Close()
	<-gone
	require.Eventually(t, func() bool { return h.Len() == 0 }, wstest.Patience, time.Millisecond)
}

// A handler of a client that ends its goroutine has failed. The server does not wait for its answer.
func TestHandlerEndsItsGoroutine(t *testing.T) {
	_, url := serve(t, hub.Methods{"Ask": func(ctx *hub.Context) error {
		_, err := hub.Invoke[int](ctx, ctx.Clients().Caller(), "do")
		require.ErrorContains(t, err, "An unexpected error occurred invoking 'do' on the client.")
		return err
	}}, hub.Options{})
	c, err := hub.Dial(t.Context(), url, hub.DialOptions{
		Logger:   slog.New(slog.DiscardHandler),
		Handlers: hub.Methods{"do": func() int { runtime.Goexit(); return 1 }},
	})
	require.NoError(t, err)
	defer c.Close()
	for range 2 {
		require.Error(t, c.Call(t.Context(), "Ask"))
	}
}
