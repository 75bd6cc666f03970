package wsmanager

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// busManager returns a Manager whose bus the test controls.
func busManager(t *testing.T, bus Backplane, opts Options) *Manager {
	t.Helper()
	opts.Backplane = bus
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	m, err := New(Callbacks{}, opts)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = m.Shutdown(ctx) // the test may have stopped its bus
	})
	return m
}

// manualBus is a bus whose calls run functions of the test. A nil function succeeds.
type manualBus struct {
	connect func(ctx context.Context) error
	publish func(ctx context.Context, topic string, p []byte) error
	healthy func() error
	close   func(ctx context.Context) error

	mu     sync.Mutex // guards the fields below
	calls  []string
	topics map[string]bool
	sent   [][]byte
	done   chan struct{}
	links  int
}

func (b *manualBus) note(call string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = append(b.calls, call)
}

func (b *manualBus) Connect(ctx context.Context, _ BackplaneNode) (BackplaneLink, error) {
	b.note("connect")
	if b.connect != nil {
		if err := b.connect(ctx); err != nil {
			return nil, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.links++
	b.topics, b.done = map[string]bool{}, make(chan struct{})
	return &manualLink{b, b.done}, nil
}

// end ends the link.
func (b *manualBus) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.done)
}

func (b *manualBus) published() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.sent)
}

type manualLink struct {
	*manualBus
	done chan struct{}
}

func (l *manualLink) Publish(ctx context.Context, topic string, p []byte) error {
	if l.publish != nil {
		if err := l.publish(ctx, topic, p); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = append(l.sent, p)
	return nil
}

func (l *manualLink) Subscribe(_ context.Context, topics []string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, topic := range topics {
		l.topics[topic] = true
	}
	return nil
}

func (l *manualLink) Unsubscribe(_ context.Context, topics []string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, topic := range topics {
		delete(l.topics, topic)
	}
	return nil
}

func (l *manualLink) Health() error {
	if l.healthy != nil {
		return l.healthy()
	}
	return nil
}

func (l *manualLink) Done() <-chan struct{} { return l.done }

func (l *manualLink) Close(ctx context.Context) error {
	l.note("close")
	if l.manualBus.close != nil {
		return l.manualBus.close(ctx)
	}
	return nil
}

// inBubble returns a test that runs f in a synctest bubble.
func inBubble(f func(t *testing.T)) func(*testing.T) {
	return func(t *testing.T) { synctest.Test(t, f) }
}

// A received envelope is delivered once, and only if another node has sent it.
func TestReceivedEnvelopes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := busManager(t, &manualBus{}, Options{})
		tr := newFakeTransport(1 << 20)
		fakeConn(t, m, "a-"+m.bus.node, tr, Accept{})
		send := func(change func(e *envelope)) {
			e := envelope{kind: envelopeAll, sequence: 1, node: []byte("OTHER"), messages: []variantMessage{{allVariants, Text("hello")}}}
			change(&e)
			m.bus.receive(e.append(nil))
		}
		same := func(*envelope) {}
		send(same)
		require.Equal(t, []string{"hello"}, tr.frames(t))
		send(same)
		send(func(e *envelope) { e.node = []byte(m.bus.node) })
		m.bus.receive(nil)
		m.bus.receive([]byte("\x01garbage"))
		m.bus.receive([]byte("\x03what comes in some years"))
		require.Equal(t, []string{"hello"}, tr.frames(t))
		send(func(e *envelope) { e.sequence = 2; e.messages[0].variants = 2 })
		send(func(e *envelope) { e.sequence = 3; e.except = []string{"a-" + m.bus.node} })
		send(func(e *envelope) { e.kind, e.sequence, e.target = envelopeConn, 4, []byte("gone-"+m.bus.node) })
		send(func(e *envelope) {
			e.kind, e.sequence, e.target, e.messages = envelopeClose, 5, []byte("a-"+m.bus.node), nil
			e.code = 7 // a message can't have this op code
		})
		require.Equal(t, []string{"hello"}, tr.frames(t))
		send(func(e *envelope) { e.sequence = 6; e.node = []byte("A RESTART") })
		require.Equal(t, []string{"hello", "hello"}, tr.frames(t))
		s := m.Stats()
		require.EqualValues(t, 1, s.Dropped.Unsendable)
		require.Equal(t, BackplaneStats{
			Node: m.bus.node, Connected: s.Backplane.Connected, Received: 6, Missed: 1, Duplicates: 1, Malformed: 2, Unknown: 1,
		}, s.Backplane)
	})
}

// The bus delivers each envelope twice, also to its sender. Managers detect duplicates by
// the numbers that they remember, and their own envelopes by the node's id. The test then
// disables these checks to show that they filter the copies.
func TestDuplicatesAndOwnEnvelopes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &LocalBus{}
		a, b := busManager(t, &repeatingBus{bus}, Options{}), busManager(t, bus, Options{})
		tr := newFakeTransport(1 << 20)
		fakeConn(t, a, "a-"+a.bus.node, tr, Accept{})
		synctest.Wait()
		a.Broadcast(Text("once"))
		b.Broadcast(Text("once, from afar"))
		synctest.Wait()
		require.ElementsMatch(t, []string{"once", "once, from afar"}, tr.frames(t), "the bus delivers each envelope twice, also to its sender")
		require.EqualValues(t, 1, a.Stats().Backplane.Duplicates)

		node := a.bus.node
		a.bus.node = "ANOTHER NODE" // disables the check of the node's id: envelopes sent under the old id are accepted
		e := envelope{kind: envelopeAll, sequence: 100, node: []byte(node), messages: []variantMessage{{allVariants, Text("back")}}}
		a.bus.receive(e.append(nil))
		a.bus.senders = deduplicator{} // forgets the received numbers
		a.bus.receive(e.append(nil))
		a.bus.node = node
		require.Len(t, tr.frames(t), 4)
	})
}

// repeatingBus is a bus that delivers everything twice.
type repeatingBus struct{ *LocalBus }

func (b *repeatingBus) Connect(ctx context.Context, n BackplaneNode) (BackplaneLink, error) {
	receive := n.Receive
	n.Receive = func(p []byte) { receive(p); receive(p) }
	return b.LocalBus.Connect(ctx, n)
}

func TestBusThatIsDownAtTheBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := true
		bus := &manualBus{}
		bus.connect = func(context.Context) error {
			bus.mu.Lock()
			defer bus.mu.Unlock()
			if down {
				return errors.New("no broker")
			}
			return nil
		}
		var log bytes.Buffer
		m := busManager(t, bus, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		synctest.Wait()
		require.EqualError(t, m.PingBackplane(t.Context()), "wsmanager: backplane: no broker")
		for i := range 10 {
			m.Broadcast(Text(fmt.Sprint(i)))
		}
		time.Sleep(8 * time.Second)
		require.Equal(t, 10, m.Stats().Backplane.Queued)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		require.ErrorIs(t, m.FlushBackplane(ctx), context.DeadlineExceeded)
		m.bus.queue.mu.Lock()
		require.Empty(t, m.bus.queue.flushers)
		m.bus.queue.mu.Unlock()
		time.Sleep(5 * time.Second)
		s := m.Stats().Backplane
		require.EqualValues(t, 10, s.Dropped.Expired, "messages expire after 10 s")
		require.Zero(t, s.Queued)
		require.Less(t, s.Errors, uint64(40), "attempts have delays between them")
		m.Broadcast(Text("in time"))
		bus.mu.Lock()
		down = false
		bus.mu.Unlock()
		require.NoError(t, m.FlushBackplane(t.Context()))
		require.NoError(t, m.PingBackplane(t.Context()))
		require.Equal(t, 1, bus.published())
		require.True(t, m.Stats().Backplane.Connected)
		require.NoError(t, m.Shutdown(t.Context()))
		require.Contains(t, log.String(), "no broker")
		require.Contains(t, log.String(), "connected again")
	})
}

// An outage that is shorter than the time-out loses nothing and duplicates nothing: the
// same envelope is sent again.
func TestShortOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var down error
		get := func() error { mu.Lock(); defer mu.Unlock(); return down }
		set := func(err error) { mu.Lock(); defer mu.Unlock(); down = err }
		bus := &manualBus{healthy: get, publish: func(context.Context, string, []byte) error { return get() }}
		m := busManager(t, bus, Options{})
		m.Broadcast(Text("0"))
		require.NoError(t, m.FlushBackplane(t.Context()))
		set(errors.New("reconnecting"))
		for i := range 5 {
			m.Broadcast(Text(fmt.Sprint(i + 1)))
		}
		time.Sleep(9 * time.Second)
		require.EqualError(t, m.PingBackplane(t.Context()), "wsmanager: backplane: reconnecting")
		require.Equal(t, 1, bus.published())
		set(nil)
		require.NoError(t, m.FlushBackplane(t.Context()))
		for i, p := range bus.sent {
			e, err := readEnvelope(p)
			require.NoError(t, err)
			require.EqualValues(t, i+1, e.sequence)
			require.Equal(t, fmt.Sprint(i), string(e.messages[0].Payload))
		}
		require.Len(t, bus.sent, 6)
		require.Zero(t, m.Stats().Backplane.Dropped)

		// A link that has ended is replaced. The new link gets all subscriptions.
		c := fakeConn(t, m, "a", newFakeTransport(1<<20), Accept{User: "ann", Groups: []string{"g"}})
		require.NoError(t, m.FlushBackplane(t.Context()))
		bus.end()
		time.Sleep(time.Second)
		require.NoError(t, c.Join("h"))
		require.NoError(t, m.FlushBackplane(t.Context()))
		require.Equal(t, 2, bus.links)
		require.Equal(t, map[string]bool{"all": true, "node-" + m.bus.node: true, "user-ann": true, "group-g": true, "group-h": true}, bus.topics)
		_ = c.Leave("g")
		require.NoError(t, m.FlushBackplane(t.Context()))
		require.NotContains(t, bus.topics, "group-g")
	})
}

// Groups that are created and removed while the bus is down leave no subscription behind.
func TestTopicsInAnOutage(t *testing.T) {
	down := errors.New("down")
	for name, bus := range map[string]*manualBus{
		"no link":           {connect: func(context.Context) error { return down }},
		"an unhealthy link": {healthy: func() error { return down }},
	} {
		t.Run(name, inBubble(func(t *testing.T) {
			m := busManager(t, bus, Options{})
			c := fakeConn(t, m, "a", newFakeTransport(1<<20), Accept{})
			for i := range 1000 {
				require.NoError(t, c.Join(fmt.Sprint(i)))
				_ = c.Leave(fmt.Sprint(i))
			}
			time.Sleep(10 * time.Second)
			m.bus.queue.mu.Lock()
			defer m.bus.queue.mu.Unlock()
			require.Less(t, len(m.bus.queue.changed), 10)
		}))
	}
}

func TestRefusedEnvelope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &manualBus{publish: func(_ context.Context, _ string, p []byte) error {
			if len(p) > 1000 {
				return errors.New("too big")
			}
			return nil
		}}
		m := busManager(t, bus, Options{})
		m.Broadcast(Binary(make([]byte, 2000)))
		m.Broadcast(Text("small"))
		require.NoError(t, m.FlushBackplane(t.Context()))
		s := m.Stats().Backplane
		require.Equal(t, BackplaneDropped{Refused: 1}, s.Dropped)
		require.EqualValues(t, 1, s.Published)
		require.True(t, s.Connected)
	})
}

func TestQueueBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := make(chan struct{})
		bus := &manualBus{publish: func(ctx context.Context, _ string, _ []byte) error {
			select {
			case <-held:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
		m := busManager(t, bus, Options{BackplaneQueue: BackplaneQueue{Messages: 3, Bytes: 10_000}, Outbox: Outbox{Bytes: 9000}, Limits: Limits{MaxMessageSize: 8000}})
		m.Broadcast(Binary(make([]byte, 8000)))
		synctest.Wait()
		m.Broadcast(Binary(make([]byte, 8000))) // exceeds the byte limit
		require.EqualValues(t, 1, m.Stats().Backplane.Dropped.QueueFull)
		for range 3 {
			m.Broadcast(Text("x"))
		}
		require.EqualValues(t, 2, m.Stats().Backplane.Dropped.QueueFull) // exceeds the message limit
		require.ErrorIs(t, m.Send("id-OTHER", Text("x")), ErrBackplane)
		require.ErrorIs(t, m.Conns("id-OTHER").Join("g"), ErrBackplane)
		require.NoError(t, m.PingBackplane(t.Context()))
		time.Sleep(time.Second)
		require.ErrorIs(t, m.PingBackplane(t.Context()), errStalled)
		close(held)
		require.NoError(t, m.FlushBackplane(t.Context()))
		require.Equal(t, 3, bus.published())
		require.NoError(t, m.PingBackplane(t.Context()))
	})
}

// A message that cannot be encoded is the error of a send to ids, also if the queue is full.
func TestErrOfASendToIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := busManager(t, &manualBus{}, Options{BackplaneQueue: BackplaneQueue{Bytes: 2000}, Outbox: Outbox{Bytes: 2000}, Limits: Limits{MaxMessageSize: 1000}})
		here := "m-" + m.bus.node
		fakeConn(t, m, here, newFakeTransport(1<<20), Accept{Variant: 1})
		p := PrepareFunc(func(v Variant) (Message, error) {
			if v == 1 {
				return Message{}, ErrMessageType
			}
			return Binary(make([]byte, 1990)), nil // the queue has no room for it in an envelope
		})
		for _, ids := range [][]string{{"a-OTHER", here}, {here, "z-OTHER"}} {
			require.ErrorIs(t, m.Conns(ids...).SendPrepared(p).Err, ErrMessageType, "%q", ids)
		}
		require.ErrorIs(t, m.Conns("a-OTHER").SendPrepared(p).Err, ErrBackplane)
	})
}

// The node of a connection that was told to join may not have subscribed to the group yet.
func TestRemoteJoinWithoutATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := busManager(t, &manualBus{}, Options{BackplaneQueue: BackplaneQueue{Timeout: math.MaxInt64}})
		require.NoError(t, m.Conns("id-OTHER").Join("g"))
		require.Equal(t, topicAll, m.bus.topicFor(audienceGroups, "g"))
	})
}

func TestShutdownWithABus(t *testing.T) {
	t.Run("publishes the last messages, then closes the link", inBubble(func(t *testing.T) {
		bus := &manualBus{}
		m := busManager(t, bus, Options{})
		m.Broadcast(Text("farewell"))
		require.NoError(t, m.Shutdown(t.Context()))
		require.NoError(t, m.Shutdown(t.Context()), "a second Shutdown")
		require.Equal(t, 1, bus.published())
		require.Equal(t, []string{"connect", "close"}, bus.calls)
		m.Broadcast(Text("too late"))
		require.EqualValues(t, 1, m.Stats().Backplane.Dropped.Shutdown)
		require.ErrorIs(t, m.FlushBackplane(t.Context()), ErrBackplane)
		require.ErrorIs(t, m.PingBackplane(t.Context()), errNoLink)
	}))
	t.Run("before the first link", inBubble(func(t *testing.T) {
		bus := &manualBus{connect: func(context.Context) error { return errors.New("no broker") }}
		m := busManager(t, bus, Options{})
		require.NoError(t, m.Shutdown(t.Context()), "there is nothing to publish")
	}))
	t.Run("gives up at the deadline", inBubble(func(t *testing.T) {
		bus := &manualBus{publish: func(ctx context.Context, _ string, _ []byte) error { <-ctx.Done(); return ctx.Err() }}
		m := busManager(t, bus, Options{})
		m.Broadcast(Text("1"))
		m.Broadcast(Text("2"))
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begin := time.Now()
		err := m.Shutdown(ctx)
		require.ErrorContains(t, err, "2 messages were not published")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 3*time.Second, time.Since(begin))
		require.Equal(t, []string{"connect", "close"}, bus.calls)
		require.EqualValues(t, 2, m.Stats().Backplane.Dropped.Shutdown)
	}))
	t.Run("reports that the bus has not returned", inBubble(func(t *testing.T) {
		hang := make(chan struct{})
		defer close(hang)
		bus := &manualBus{close: func(context.Context) error { <-hang; return nil }}
		m := busManager(t, bus, Options{})
		require.NoError(t, m.FlushBackplane(t.Context()))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorContains(t, m.Shutdown(ctx), "has not returned")
	}))
}

func TestIDsWithABus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := busManager(t, &manualBus{}, Options{})
		require.Regexp(t, `^[A-Z2-7]{13}$`, m.bus.node)
		require.Equal(t, m.bus.node, nodeOf(m.bus.newConnID()))
		require.Regexp(t, `^[A-Z2-7]{26}-[A-Z2-7]{13}$`, m.bus.newConnID())
		plain := MustNew(Callbacks{}, Options{})
		require.Regexp(t, `^[A-Z2-7]{26}$`, plain.bus.newConnID())
		require.NoError(t, plain.PingBackplane(t.Context()))
		require.NoError(t, plain.FlushBackplane(t.Context()))
		require.ErrorIs(t, plain.Send("a-B", Text("x")), ErrNoConn)
		require.ErrorIs(t, plain.Send("a-B", Message{}), ErrNoConn)
		require.Equal(t, Sent{}, plain.Conns("a-B").SendPrepared(Prepare(Text("x"))))
		require.ErrorIs(t, plain.Conns("a-B").SendPrepared(Prepare(Message{})).Err, ErrMessageType)
		require.ErrorIs(t, plain.Conns("a-B").Close(1000, ""), ErrNoConn)
		require.ErrorIs(t, plain.Conns("a-B").Join("g"), ErrNoConn)
		require.ErrorIs(t, plain.Conns("a-B").Leave("g"), ErrNoConn)
		require.ErrorIs(t, m.Send("a-B", Message{}), ErrMessageType)
		require.ErrorIs(t, m.Send("a-B", Binary(make([]byte, 2<<20))), ErrMessageTooBig)
		require.ErrorIs(t, m.Conns("a-B").SendPrepared(Prepare(Message{})).Err, ErrMessageType)
	})
}
