package wsmanager_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// sink keeps what it gets.
type sink struct {
	mu      sync.Mutex
	texts   []string
	batches int
	err     error
}

func (s *sink) Deliver(_ wsmanager.MessageType, payloads [][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches++
	for _, p := range payloads {
		s.texts = append(s.texts, string(p))
	}
	return s.err
}

func (s *sink) take() (texts []string, batches int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	texts, batches = s.texts, s.batches
	s.texts, s.batches = nil, 0
	return texts, batches
}

// A connection without a socket is a member of audiences, and gets the messages that are sent to them.
func TestSinkIsAMember(t *testing.T) {
	m := wsmanager.MustNew(wsmanager.Callbacks{}, optionsWithoutLog())
	var s sink
	c, end, err := wsmanager.NewSinkConn(m, wsmanager.Accept{User: "ann", Groups: []string{"g"}, Variant: 1}, &s)
	require.NoError(t, err)
	one := wsmanager.Sent{Queued: 1}
	require.Equal(t, one, m.Broadcast(wsmanager.Text("all")))
	require.Equal(t, one, m.Group("g").Send(wsmanager.Text("group")))
	require.Equal(t, one, m.Users("ann").SendPrepared(wsmanager.PrepareFunc(func(v wsmanager.Variant) (wsmanager.Message, error) {
		return wsmanager.Text(fmt.Sprint("variant ", v)), nil
	})))
	require.NoError(t, c.Leave("g"))
	require.NoError(t, c.Join("h"))
	require.Equal(t, wsmanager.Sent{}, m.Group("g").Send(wsmanager.Text("left")))
	require.Equal(t, one, m.Groups("g", "h").Send(wsmanager.Text("groups")))
	payload := []byte("one")
	require.NoError(t, c.Send(wsmanager.Message{Type: wsmanager.TextMessage, Payload: payload}))
	copy(payload, "???") // Send has copied it
	require.NoError(t, c.SendContext(t.Context(), wsmanager.Text(repeat("x", 200))))
	require.NoError(t, c.SendPrepared(wsmanager.Prepare(wsmanager.Text(repeat("y", 70_000)))))
	require.Equal(t, wsmanager.Sent{}, m.All().Except(c.ID()).Send(wsmanager.Text("others")))
	texts, _ := s.take()
	require.Equal(t, []string{"all", "group", "variant 1", "groups", "one", repeat("x", 200), repeat("y", 70_000)}, texts)
	big := wsmanager.Message{Type: wsmanager.BinaryMessage, Payload: []byte(repeat("z", 900_000))} // is sent in parts to a socket
	require.NoError(t, c.Send(big))
	require.NoError(t, c.SendContext(t.Context(), big))
	require.NoError(t, c.SendPrepared(wsmanager.Prepare(big)))
	require.Equal(t, one, m.Broadcast(big))
	want := string(big.Payload)
	clear(big.Payload)
	texts, _ = s.take()
	require.True(t, slices.Equal([]string{want, want, want, want}, texts))

	end()
	end()
	require.ErrorIs(t, c.Send(wsmanager.Text("ended")), wsmanager.ErrClosed)
	require.ErrorIs(t, c.Join("g"), wsmanager.ErrClosed)
	require.ErrorIs(t, context.Cause(c.Context()), context.Canceled)
	require.Zero(t, m.Stats().Connections+m.Stats().Groups+m.Stats().Users)
	require.NoError(t, m.Shutdown(t.Context()))
}

// Broadcasts that are made at once arrive in batches, each once and in order.
func TestSinkGetsBatches(t *testing.T) {
	m := wsmanager.MustNew(wsmanager.Callbacks{}, optionsWithoutLog())
	sinks := make([]sink, 100)
	for i := range sinks {
		_, end, err := wsmanager.NewSinkConn(m, wsmanager.Accept{}, &sinks[i])
		require.NoError(t, err)
		defer end()
	}
	const n = 1000
	var wg sync.WaitGroup
	var want []string
	wg.Go(func() {
		for i := range n {
			m.Broadcast(wsmanager.Text(fmt.Sprint(i)))
		}
	})
	for i := range n {
		want = append(want, fmt.Sprint(i))
	}
	wg.Wait()
	require.NoError(t, m.Shutdown(t.Context())) // waits for the goroutine that delivers
	for i := range sinks {
		got, _ := sinks[i].take()
		require.Equal(t, want, got)
	}
}

// A sink's error, Close and Shutdown end the Context and make sends fail; the connection is registered until its end.
func TestSinkEnds(t *testing.T) {
	m := wsmanager.MustNew(wsmanager.Callbacks{}, optionsWithoutLog())
	failure := errors.New("the sink is full")
	for name, cut := range map[string]func(c *wsmanager.Conn){
		"error": func(c *wsmanager.Conn) { require.ErrorIs(t, c.Send(wsmanager.Text("x")), wsmanager.ErrClosed) },
		"close": func(c *wsmanager.Conn) { require.NoError(t, c.Close(1000, "")) },
	} {
		c, end, err := wsmanager.NewSinkConn(m, wsmanager.Accept{}, &sink{err: failure})
		require.NoError(t, err)
		cut(c)
		<-c.Context().Done()
		require.Equal(t, name == "error", errors.Is(context.Cause(c.Context()), failure), name)
		require.ErrorIs(t, c.Send(wsmanager.Text("x")), wsmanager.ErrClosed, name)
		require.Equal(t, wsmanager.Sent{}, m.Broadcast(wsmanager.Text("x")), name)
		require.Equal(t, 1, m.All().Len())
		end()
		require.Zero(t, m.All().Len())
	}
	c, end, err := wsmanager.NewSinkConn(m, wsmanager.Accept{}, &sink{})
	require.NoError(t, err)
	require.NoError(t, m.Shutdown(t.Context()))
	<-c.Context().Done()
	end()
	_, _, err = wsmanager.NewSinkConn(m, wsmanager.Accept{}, &sink{})
	require.ErrorIs(t, err, wsmanager.ErrShutdown)
	_, _, err = wsmanager.NewSinkConn(m, wsmanager.Accept{Groups: []string{""}}, &sink{})
	require.Error(t, err)
}

// A carrier belongs to no audience and gets no broadcast. It need not become ready.
func TestCarrierIsInNoAudience(t *testing.T) { onEachDriver(t, testCarrierIsInNoAudience) }

func testCarrierIsInNoAudience(t *testing.T) {
	m, url := serve(t, wsmanager.Callbacks{
		OnAccept: func(*http.Request) (wsmanager.Accept, error) {
			return wsmanager.Accept{Deferred: true, User: "ann", Groups: []string{"g"}}, nil
		},
		OnConnect: func(c *wsmanager.Conn) error {
			require.NoError(t, wsmanager.Carry(c, wsmanager.SlowConsumerClose))
			require.ErrorIs(t, wsmanager.Carry(c, wsmanager.SlowConsumerClose), wsmanager.ErrReady)
			require.ErrorIs(t, c.Ready(0), wsmanager.ErrReady)
			return nil
		},
		OnMessage: func(c *wsmanager.Conn, msg wsmanager.Message) error {
			return c.Send(wsmanager.Message{Type: msg.Type, Payload: msg.Payload})
		},
	}, optionsWithoutLog(), nil)
	c := dialOver(t, url, nil)
	c.SendText("1")
	c.ExpectText("1")
	require.Equal(t, wsmanager.Sent{}, m.Broadcast(wsmanager.Text("x")))
	require.Equal(t, wsmanager.Sent{}, m.Group("g").Send(wsmanager.Text("x")))
	require.Equal(t, wsmanager.Sent{}, m.Groups("g", "h").Send(wsmanager.Text("x")))
	require.Zero(t, m.All().Len())
	require.Empty(t, ids(m))
	require.Equal(t, []int{0, 0, 0}, []int{m.Stats().Connections, m.Stats().Groups, m.Stats().Users})
	c.SendText("2")
	c.ExpectText("2")
	c.SendClose(1000, "")
	c.ExpectClose(1000)
}
