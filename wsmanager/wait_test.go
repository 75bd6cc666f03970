package wsmanager

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// waiters returns the number of sends that wait for room.
func (c *Conn) waiters() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Waiting()
}

// awaitWaiters waits until n sends wait for room.
func awaitWaiters(t *testing.T, c *Conn, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return c.waiters() == n }, 10*time.Second, 50*time.Microsecond)
}

// newFullConn returns a connection whose outbox is full for SendContext: "half" is being
// written, and m0 is queued, with room for four messages.
func newFullConn(t *testing.T) (*Manager, *Conn, *fakeTransport) {
	t.Helper()
	m, _ := fakeManager(t, Options{Outbox: Outbox{Messages: 4}})
	tr := newFakeTransport(0)
	c := fakeConn(t, m, "a", tr, Accept{})
	sendAndBlock(t, c, tr, "half")
	require.NoError(t, c.SendContext(t.Context(), Text("m0")))
	return m, c, tr
}

// Waiting sends proceed in the order of their calls, each once, and leave room for broadcasts.
func TestSendContextWaitsInOrder(t *testing.T) {
	m, c, tr := newFullConn(t)
	results := make(chan error, 10)
	want := []string{"half", "m0", "broadcast"}
	for i := range 10 {
		go func() { results <- c.SendContext(t.Context(), Text(fmt.Sprintf("w%d", i))) }()
		awaitWaiters(t, c, i+1)
		want = append(want, fmt.Sprintf("w%d", i))
	}
	require.Equal(t, Sent{Queued: 1}, m.Broadcast(Text("broadcast")))
	tr.releaseWrites()
	for range 10 {
		require.NoError(t, <-results)
	}
	awaitNoWriters(t, m)
	require.Equal(t, want, tr.frames(t))
	require.Zero(t, m.Stats().Dropped)
	require.Equal(t, stateOpen, c.life.state)
}

// A waiting send needs no additional goroutine.
func TestSendContextNeedsNoGoroutine(t *testing.T) {
	_, c, _ := newFullConn(t)
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan error, 50)
	before := runtime.NumGoroutine()
	for range 50 {
		go func() { results <- c.SendContext(ctx, Text("x")) }()
	}
	awaitWaiters(t, c, 50)
	require.LessOrEqual(t, runtime.NumGoroutine(), before+50)
	cancel()
	for range 50 {
		require.ErrorIs(t, <-results, context.Canceled)
	}
}

func TestSendContextEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(*Manager, *Conn, context.CancelCauseFunc)
		want error
	}{
		{"with its context", func(_ *Manager, _ *Conn, cancel context.CancelCauseFunc) { cancel(nil) }, context.Canceled},
		{"with the cause of its context", func(_ *Manager, _ *Conn, cancel context.CancelCauseFunc) { cancel(errTooManyControls) }, errTooManyControls},
		{"with Close", func(_ *Manager, c *Conn, _ context.CancelCauseFunc) { _ = c.Close(1000, "") }, ErrClosed},
		{"with the connection", func(_ *Manager, c *Conn, _ context.CancelCauseFunc) { c.session().release() }, ErrClosed},
		{"with Shutdown", func(m *Manager, c *Conn, _ context.CancelCauseFunc) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_ = m.Shutdown(ctx) // returns an error because it cuts the connection
		}, ErrClosed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, c, tr := newFullConn(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			result := make(chan error)
			go func() { result <- c.SendContext(ctx, Text("never sent")) }()
			awaitWaiters(t, c, 1)
			tt.end(m, c, cancel)
			require.ErrorIs(t, <-result, tt.want)
			require.Zero(t, c.waiters())
			tr.releaseWrites()
			awaitNoWriters(t, m)
			require.NotContains(t, tr.wrote.String(), "never sent") // a cut may leave a partial frame
		})
	}
}

// A send that gives up does not delay those behind it.
func TestCancelledSendContextUnblocksLaterSends(t *testing.T) {
	m, _ := fakeManager(t, Options{Outbox: Outbox{Bytes: 1000}, Limits: Limits{MaxMessageSize: 900}})
	tr := newFakeTransport(0)
	c := fakeConn(t, m, "a", tr, Accept{})
	sendAndBlock(t, c, tr, "half")
	ctx, cancel := context.WithCancel(t.Context())
	big, small := make(chan error, 1), make(chan error, 1)
	go func() { big <- c.SendContext(ctx, Binary(make([]byte, 900))) }()
	awaitWaiters(t, c, 1)
	go func() { small <- c.SendContext(t.Context(), Text("small")) }()
	awaitWaiters(t, c, 2)
	cancel()
	require.ErrorIs(t, <-big, context.Canceled)
	require.NoError(t, <-small)
	tr.releaseWrites()
	awaitNoWriters(t, m)
	require.Equal(t, []string{"half", "small"}, tr.frames(t))
}

func TestSendContextOfInvalidMessages(t *testing.T) {
	m, c, _ := newFullConn(t)
	require.ErrorIs(t, c.SendContext(t.Context(), Message{}), ErrMessageType)
	require.ErrorIs(t, c.SendContext(t.Context(), Binary(make([]byte, m.opts.OutboxBytes))), ErrMessageTooBig)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, c.SendContext(ctx, Text("x")), context.Canceled)
	require.NoError(t, c.Close(1000, ""))
	require.ErrorIs(t, c.SendContext(t.Context(), Text("x")), ErrClosed)
}

// With room, SendContext behaves like Send and writes directly to the socket.
func TestSendContextWithRoom(t *testing.T) {
	m, _ := fakeManager(t, Options{})
	tr := newFakeTransport(1 << 20)
	c := fakeConn(t, m, "a", tr, Accept{})
	require.NoError(t, c.SendContext(t.Context(), Text("x")))
	require.Equal(t, []string{"x"}, tr.frames(t))
}

// A message of more than half of the outbox is accepted when the outbox is empty.
func TestSendContextOfAMessageAboveHalf(t *testing.T) {
	m, _ := fakeManager(t, Options{Outbox: Outbox{Bytes: 1000}, Limits: Limits{MaxMessageSize: 900}})
	tr := newFakeTransport(0)
	c := fakeConn(t, m, "a", tr, Accept{})
	tr.releaseWrites()
	for range 20 {
		require.NoError(t, c.SendContext(t.Context(), Binary(make([]byte, 900))))
	}
	awaitNoWriters(t, m)
	require.Len(t, tr.frames(t), 20)
}

// A prepared message is not copied while it waits.
func TestSendPreparedContext(t *testing.T) {
	m, c, tr := newFullConn(t)
	p := Prepare(Text("prepared"))
	result := make(chan error)
	go func() { result <- c.SendPreparedContext(t.Context(), p) }()
	awaitWaiters(t, c, 1)
	frame, err := m.frame(p, 0)
	require.NoError(t, err)
	tr.proceed <- struct{}{} // writes "half" and m0
	require.NoError(t, <-result)
	c.mu.Lock()
	require.Same(t, &frame[0], &c.out.LastFrame()[0])
	c.mu.Unlock()
	tr.releaseWrites()
	awaitNoWriters(t, m)
	require.Equal(t, []string{"half", "m0", "prepared"}, tr.frames(t))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, c.SendPreparedContext(ctx, p), context.Canceled)
	require.ErrorIs(t, c.SendPreparedContext(t.Context(), Prepare(Message{})), ErrMessageType)
	require.Equal(t, Sent{}, m.Conns("nobody").SendPrepared(p))
	tr.setRoom(1000)
	require.Equal(t, Sent{Queued: 1}, m.Conns("a").SendPrepared(p))
	require.Equal(t, "prepared", tr.frames(t)[3])
}
