package clientqueue

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/counters"
	"github.com/speakingtube/speakingtube/wsmanager/internal/sender"
)

// fakeConn takes messages as its outbox does: up to room messages are written at once, the
// others are queued until write.
type fakeConn struct {
	queue    *Queue
	room     int
	advances bool
	broken   bool
	outbox   [][]byte
	wrote    []string
}

func (c *fakeConn) SendTracked(d Delivery) error {
	if c.broken {
		return sender.ErrClosed
	}
	if c.room > 0 {
		c.room--
		c.wrote = append(c.wrote, string(d.Frame))
		return nil
	}
	frame := append([]byte(nil), d.Frame...)
	c.outbox = append(c.outbox, frame)
	d.Queued(TokenOf(frame))
	return nil
}

func (c *fakeConn) WriterAdvances() bool { return c.advances }

// write writes the first n frames of the outbox.
func (c *fakeConn) write(n int) {
	for _, f := range c.outbox[:n] {
		c.wrote = append(c.wrote, string(f))
		c.queue.Written(TokenOf(f))
	}
	c.outbox = c.outbox[n:]
}

func message(text string) Message { return Message{Frame: []byte(text)} }

func newQueue(maxMessages, maxBytes int) (*Queue, *counters.Counters) {
	c := new(counters.Counters)
	return New(maxMessages, maxBytes, c), c
}

func TestMessagesWaitForAConnection(t *testing.T) {
	q, _ := newQueue(10, 100)
	buf := []byte("a")
	require.NoError(t, q.Send(Message{Frame: buf}))
	buf[0] = 'x'
	require.NoError(t, q.Send(message("b")))
	require.Equal(t, 2, q.Len())
	c := &fakeConn{queue: q, room: 1}
	q.Attach(c)
	require.Equal(t, []string{"a"}, c.wrote, "the queue has a copy")
	require.Equal(t, 1, q.Len())
	require.NoError(t, q.Send(message("c")))
	c.write(2)
	require.Equal(t, []string{"a", "b", "c"}, c.wrote)
	require.Zero(t, q.Len())
	c.room = 1
	require.NoError(t, q.Send(message("d")))
	require.Zero(t, q.Len(), "it was written at once")
}

// The next connection gets, in order, the messages that the last one has not written.
func TestUnwrittenMessagesAreSentAgain(t *testing.T) {
	q, _ := newQueue(10, 100)
	first := &fakeConn{queue: q}
	q.Attach(first)
	for _, text := range []string{"a", "b", "c"} {
		require.NoError(t, q.Send(message(text)))
	}
	first.write(1)
	first.broken = true
	require.NoError(t, q.Send(message("d")), "it waits for the next connection")
	q.Detach()
	require.NoError(t, q.Send(message("e")))

	second := &fakeConn{queue: q, room: 2}
	q.Attach(second)
	require.Equal(t, []string{"b", "c"}, second.wrote)
	for _, f := range first.outbox {
		q.Written(TokenOf(f)) // unknown by now
	}
	require.Equal(t, 2, q.Len())
	second.write(2)
	require.Equal(t, []string{"b", "c", "d", "e"}, second.wrote)
	require.Zero(t, q.Len())
}

// A connection that ends while it gets the queue leaves the rest for the next one.
func TestConnectionEndsDuringAttach(t *testing.T) {
	q, _ := newQueue(10, 100)
	require.NoError(t, q.Send(message("a")))
	q.Attach(&fakeConn{queue: q, broken: true})
	q.Detach()
	require.Equal(t, 1, q.Len())
	c := &fakeConn{queue: q, room: 1}
	q.Attach(c)
	require.Equal(t, []string{"a"}, c.wrote)
	require.Zero(t, q.Len())
}

// Tokens of other messages on the same connection change nothing.
func TestUnknownTokens(t *testing.T) {
	q, _ := newQueue(10, 100)
	c := &fakeConn{queue: q}
	q.Attach(c)
	require.NoError(t, q.Send(message("a")))
	q.Written(TokenOf([]byte("x")))
	require.Equal(t, 1, q.Len())
}

func TestLimits(t *testing.T) {
	for _, tt := range []struct {
		name                  string
		maxMessages, maxBytes int
		conn                  *fakeConn
		want                  int
	}{
		{"messages", 3, 100, nil, 3},
		{"bytes", 3, 2, nil, 2},
		{"a connection", 3, 100, &fakeConn{}, 3},
		{"a connection that writes", 3, 100, &fakeConn{advances: true}, 3 * sender.BurstFactor},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q, count := newQueue(tt.maxMessages, tt.maxBytes)
			if tt.conn != nil {
				q.Attach(tt.conn)
			}
			for range tt.want {
				require.NoError(t, q.Send(message("m")))
			}
			require.Equal(t, sender.ErrOutboxFull, q.Send(message("m")))
			require.EqualValues(t, 1, count.Dropped(counters.OutboxFull))
		})
	}
}

func TestSendContext(t *testing.T) {
	q, _ := newQueue(4, 100)
	require.NoError(t, q.SendContext(t.Context(), message("a")))
	require.NoError(t, q.SendContext(t.Context(), message("b")))
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	waited := make(chan error)
	go func() { waited <- q.SendContext(ctx, message("c")) }()
	cancel(enough)
	require.Equal(t, enough, <-waited)
	require.Equal(t, enough, q.SendContext(ctx, message("c")))
	require.Equal(t, 2, q.Len())

	go func() { waited <- q.SendContext(t.Context(), message("d")) }()
	c := &fakeConn{queue: q, room: 1}
	q.Attach(c)
	require.NoError(t, <-waited)
	require.Equal(t, 2, q.Len())

	go func() { waited <- q.SendContext(t.Context(), message("e")) }()
	q.Close()
	require.Equal(t, sender.ErrClosed, <-waited)
	require.Equal(t, sender.ErrClosed, q.Send(message("e")))
}

// Flush waits for the messages before the call, not for later ones.
func TestFlush(t *testing.T) {
	q, _ := newQueue(10, 100)
	require.NoError(t, q.Flush(t.Context()))
	c := &fakeConn{queue: q}
	q.Attach(c)
	require.NoError(t, q.Send(message("a")))
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	require.Equal(t, enough, q.Flush(ctx))
	flushed := make(chan error)
	go func() { flushed <- q.Flush(t.Context()) }()
	c.write(1)
	require.NoError(t, <-flushed)

	require.NoError(t, q.Send(message("b")))
	go func() { flushed <- q.Flush(t.Context()) }()
	q.Close()
	require.Equal(t, sender.ErrClosed, <-flushed)
}
