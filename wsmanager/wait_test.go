package wsmanager

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// waiters returns how many sends wait for room.
func (c *Conn) waiters() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.outbox.Waiters()
}

// awaitWaiters waits until n sends wait.
func awaitWaiters(t *testing.T, c *Conn, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return c.waiters() == n }, 10*time.Second, 50*time.Microsecond)
}

// fullToHalf is a connection whose outbox takes no more of SendContext: "half" is
// on its way and m0 waits, of four that fit.
func fullToHalf(t *testing.T) (*Manager, *Conn, *fakeTransport) {
	t.Helper()
	m, _ := fakeManager(t, Options{OutboxMessages: 4})
	tr := newFakeTransport(0)
	c := fakeConn(t, m, "a", tr, Accept{})
	stuck(t, c, tr, "half")
	require.NoError(t, c.SendContext(t.Context(), Text("m0")))
	return m, c, tr
}

// Sends that wait go in the order in which they came, each once, and leave room
// for broadcasts.
func TestSendContextWaitsInOrder(t *testing.T) {
	m, c, tr := fullToHalf(t)
	results := make(chan error, 10)
	want := []string{"half", "m0", "broadcast"}
	for i := range 10 {
		go func() { results <- c.SendContext(t.Context(), Text(fmt.Sprintf("w%d", i))) }()
		awaitWaiters(t, c, i+1)
		want = append(want, fmt.Sprintf("w%d", i))
	}
	require.Equal(t, Sent{Queued: 1}, m.Broadcast(Text("broadcast")))
	tr.letGo()
	for range 10 {
		require.NoError(t, <-results)
	}
	idle(t, m)
	require.Equal(t, want, tr.frames(t))
	require.Zero(t, m.Stats().Dropped)
	require.Equal(t, stateOpen, c.life.state)
}

// No goroutine is made for a send that waits.
func TestSendContextNeedsNoGoroutine(t *testing.T) {
	_, c, _ := fullToHalf(t)
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
			_ = m.Shutdown(ctx) // says that it had to cut
		}, ErrClosed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, c, tr := fullToHalf(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			result := make(chan error)
			go func() { result <- c.SendContext(ctx, Text("never sent")) }()
			awaitWaiters(t, c, 1)
			tt.end(m, c, cancel)
			require.ErrorIs(t, <-result, tt.want)
			require.Zero(t, c.waiters())
			tr.letGo()
			idle(t, m)
			require.NotContains(t, tr.wrote.String(), "never sent") // a cut may leave half a frame
		})
	}
}

// A send that gives up does not hold up those behind it.
func TestSendContextGivesUpItsPlace(t *testing.T) {
	m, _ := fakeManager(t, Options{OutboxBytes: 1000, MaxMessageSize: 900})
	tr := newFakeTransport(0)
	c := fakeConn(t, m, "a", tr, Accept{})
	stuck(t, c, tr, "half")
	ctx, cancel := context.WithCancel(t.Context())
	big, small := make(chan error, 1), make(chan error, 1)
	go func() { big <- c.SendContext(ctx, Binary(make([]byte, 900))) }()
	awaitWaiters(t, c, 1)
	go func() { small <- c.SendContext(t.Context(), Text("small")) }()
	awaitWaiters(t, c, 2)
	cancel()
	require.ErrorIs(t, <-big, context.Canceled)
	require.NoError(t, <-small)
	tr.letGo()
	idle(t, m)
	require.Equal(t, []string{"half", "small"}, tr.frames(t))
}

func TestSendContextOfWhatCannotBeSent(t *testing.T) {
	m, c, _ := fullToHalf(t)
	require.ErrorIs(t, c.SendContext(t.Context(), Message{}), ErrMessageType)
	require.ErrorIs(t, c.SendContext(t.Context(), Binary(make([]byte, m.opts.OutboxBytes))), ErrMessageTooBig)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, c.SendContext(ctx, Text("x")), context.Canceled)
	require.NoError(t, c.Close(1000, ""))
	require.ErrorIs(t, c.SendContext(t.Context(), Text("x")), ErrClosed)
}

// With room it is a Send: nothing waits, and straight to the socket.
func TestSendContextWithRoom(t *testing.T) {
	m, _ := fakeManager(t, Options{})
	tr := newFakeTransport(1 << 20)
	c := fakeConn(t, m, "a", tr, Accept{})
	require.NoError(t, c.SendContext(t.Context(), Text("x")))
	require.Equal(t, []string{"x"}, tr.frames(t))
}

// A message that is more than half of the outbox goes when it is alone.
func TestSendContextOfAMessageAboveHalf(t *testing.T) {
	m, _ := fakeManager(t, Options{OutboxBytes: 1000, MaxMessageSize: 900})
	tr := newFakeTransport(0)
	c := fakeConn(t, m, "a", tr, Accept{})
	tr.letGo()
	for range 20 {
		require.NoError(t, c.SendContext(t.Context(), Binary(make([]byte, 900))))
	}
	idle(t, m)
	require.Len(t, tr.frames(t), 20)
}

// A prepared message is not copied while it waits.
func TestSendPreparedContext(t *testing.T) {
	m, c, tr := fullToHalf(t)
	p := Prepare(Text("prepared"))
	result := make(chan error)
	go func() { result <- c.SendPreparedContext(t.Context(), p) }()
	awaitWaiters(t, c, 1)
	frame, err := m.frame(p, 0)
	require.NoError(t, err)
	tr.goOn <- struct{}{} // "half" and m0 are written
	require.NoError(t, <-result)
	c.mu.Lock()
	require.Same(t, &frame[0], &c.out.outbox.Last()[0])
	c.mu.Unlock()
	tr.letGo()
	idle(t, m)
	require.Equal(t, []string{"half", "m0", "prepared"}, tr.frames(t))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, c.SendPreparedContext(ctx, p), context.Canceled)
	require.ErrorIs(t, c.SendPreparedContext(t.Context(), Prepare(Message{})), ErrMessageType)
	require.ErrorIs(t, m.SendPrepared("nobody", p), ErrNoConn)
	tr.setRoom(1000)
	require.NoError(t, m.SendPrepared("a", p))
	require.Equal(t, "prepared", tr.frames(t)[3])
}
