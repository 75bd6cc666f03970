package wsmanager_test

import (
	"bytes"
	"math"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// sendKinds are the ways to send a message to the only connection of a Manager.
var sendKinds = map[string]func(t *testing.T, m *wsmanager.Manager, msg wsmanager.Message) error{
	"Send": func(t *testing.T, m *wsmanager.Manager, msg wsmanager.Message) error { return onlyConn(t, m).Send(msg) },
	"SendPrepared": func(t *testing.T, m *wsmanager.Manager, msg wsmanager.Message) error {
		return onlyConn(t, m).SendPrepared(wsmanager.Prepare(msg))
	},
	"SendContext": func(t *testing.T, m *wsmanager.Manager, msg wsmanager.Message) error {
		return onlyConn(t, m).SendContext(t.Context(), msg)
	},
	"Broadcast": func(_ *testing.T, m *wsmanager.Manager, msg wsmanager.Message) error { return m.Broadcast(msg).Err },
	"Group": func(_ *testing.T, m *wsmanager.Manager, msg wsmanager.Message) error {
		return m.Group("g").Send(msg).Err
	},
	"Users": func(_ *testing.T, m *wsmanager.Manager, msg wsmanager.Message) error {
		return m.Users("ann").Send(msg).Err
	},
	"Manager.Send": func(t *testing.T, m *wsmanager.Manager, msg wsmanager.Message) error {
		return m.Send(onlyConn(t, m).ID(), msg)
	},
	"Conns.Prepared": func(t *testing.T, m *wsmanager.Manager, msg wsmanager.Message) error {
		return m.Conns(onlyConn(t, m).ID()).SendPrepared(wsmanager.Prepare(msg)).Err
	},
}

func acceptAnn(*http.Request) (wsmanager.Accept, error) {
	return wsmanager.Accept{User: "ann", Groups: []string{"g"}}, nil
}

// A message of up to Outbox.MaxMessageSize is taken if no other waits, however small Outbox.Bytes is. It leaves room for
// small messages behind it, and for no other of its size.
func TestMessageAboveOutboxBytes(t *testing.T) { onEachDriverAtOnce(t, testMessageAboveOutboxBytes) }

func testMessageAboveOutboxBytes(t *testing.T) {
	const size = 20 << 20 // more than the buffers of the system
	for name, send := range sendKinds {
		t.Run(name, func(t *testing.T) {
			opts := optionsWithoutLog()
			opts.Limits.MaxMessageSize = 5000
			opts.Outbox = wsmanager.Outbox{Bytes: 4000, MaxMessageSize: size}
			opts.SlowConsumer = wsmanager.SlowConsumerDropNewest
			m, url := serve(t, wsmanager.Callbacks{OnAccept: acceptAnn}, opts, nil)
			c := dialOver(t, url, nil)
			conn := onlyConn(t, m)
			big := wsmanager.Binary(bytes.Repeat([]byte("0123456789abcdef"), size/16))
			require.ErrorIs(t, send(t, m, wsmanager.Binary(make([]byte, size+1))), wsmanager.ErrMessageTooBig)
			require.NoError(t, send(t, m, big))
			for range 3 {
				require.NoError(t, conn.Send(wsmanager.Text(repeat("x", 1000))))
			}
			require.ErrorIs(t, conn.Send(wsmanager.Text(repeat("y", 1000))), wsmanager.ErrOutboxFull)
			require.ErrorIs(t, conn.Send(big), wsmanager.ErrOutboxFull)
			f, err := c.ReadFrame()
			require.NoError(t, err)
			require.True(t, bytes.Equal(big.Payload, f.Payload))
			for range 3 {
				c.ExpectText(repeat("x", 1000))
			}
			require.NoError(t, conn.SendContext(t.Context(), big)) // waits until nothing is left
			f, err = c.ReadFrame()
			require.NoError(t, err)
			require.True(t, bytes.Equal(big.Payload, f.Payload))
			require.NoError(t, conn.Close(1000, ""))
			c.ExpectClose(1000)
		})
	}
}

// The limit is that of the payload, whatever the size of the frame header.
func TestOutboxMaxMessageSize(t *testing.T) { onEachDriverAtOnce(t, testOutboxMaxMessageSize) }

func testOutboxMaxMessageSize(t *testing.T) {
	for _, size := range []int{1, 125, 126, 65_535, 65_536, 1_000_000, math.MaxInt} {
		opts := optionsWithoutLog()
		opts.Limits.MaxMessageSize = 1
		opts.Outbox = wsmanager.Outbox{Bytes: 100, MaxMessageSize: size}
		m, url := serve(t, wsmanager.Callbacks{OnAccept: acceptAnn}, opts, nil)
		c := dialOver(t, url, nil)
		at, sent := min(size, 3<<20), uint64(0)
		for name, send := range sendKinds {
			if size != math.MaxInt {
				require.ErrorIs(t, send(t, m, wsmanager.Text(repeat("x", size+1))), wsmanager.ErrMessageTooBig, name)
			}
			require.NoError(t, send(t, m, wsmanager.Text(repeat("x", at))), name)
			require.Len(t, c.Text(), at, name)
			sent++
			awaitCondition(t, func() bool { return m.Stats().MessagesOut == sent }) // nothing waits
		}
	}
}

// A client has the same limit; its frames are longer because they are masked.
func TestOutboxMaxMessageSizeOfClient(t *testing.T) {
	_, url := serve(t, wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, msg wsmanager.Message) error { return c.Send(msg) },
	}, wsmanager.Options{Logger: optionsWithoutLog().Logger, Limits: wsmanager.Limits{MaxMessageSize: 1 << 20}, Outbox: wsmanager.Outbox{Bytes: 2 << 20}}, nil)
	got := make(chan int, 1)
	opts := wsmanager.DialOptions{Logger: optionsWithoutLog().Logger, Limits: wsmanager.Limits{MaxMessageSize: 1 << 20}}
	opts.Outbox = wsmanager.Outbox{Bytes: 1000, MaxMessageSize: 1 << 20}
	c, err := wsmanager.Dial(t.Context(), url, wsmanager.Callbacks{
		OnMessage: func(_ *wsmanager.Conn, msg wsmanager.Message) error { got <- len(msg.Payload); return nil },
	}, opts)
	require.NoError(t, err)
	require.ErrorIs(t, c.SendContext(t.Context(), wsmanager.Binary(make([]byte, 1<<20+1))), wsmanager.ErrMessageTooBig)
	require.NoError(t, c.SendContext(t.Context(), wsmanager.Binary(make([]byte, 1<<20))))
	require.Equal(t, 1<<20, <-got)
	require.NoError(t, c.Close(1000, ""))
	<-c.Context().Done()
}

func TestInvalidOutboxMaxMessageSize(t *testing.T) {
	for want, opts := range map[string]wsmanager.Options{
		"Options.Outbox.MaxMessageSize: -1 is negative; set a positive number": {Outbox: wsmanager.Outbox{MaxMessageSize: -1}},
		"Options.Outbox.MaxMessageSize: 9 is below Limits.MaxMessageSize (10)": {Limits: wsmanager.Limits{MaxMessageSize: 10}, Outbox: wsmanager.Outbox{MaxMessageSize: 9}},
		"BackplaneQueue.Bytes: 2097152 is below Outbox.MaxMessageSize (3145728)": {
			Backplane: &wsmanager.LocalBus{}, BackplaneQueue: wsmanager.BackplaneQueue{Bytes: 2 << 20}, Outbox: wsmanager.Outbox{MaxMessageSize: 3 << 20},
		},
	} {
		_, err := wsmanager.New(wsmanager.Callbacks{}, opts)
		require.ErrorContains(t, err, want)
	}
	_, err := wsmanager.New(wsmanager.Callbacks{}, wsmanager.Options{Limits: wsmanager.Limits{MaxMessageSize: 2 << 20}, Outbox: wsmanager.Outbox{MaxMessageSize: 2 << 20}})
	require.NoError(t, err)
}
