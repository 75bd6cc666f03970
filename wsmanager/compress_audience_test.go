package wsmanager_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// newMixedManager returns a Manager with n connections that have negotiated compression and n that
// have not, alternately.
func newMixedManager(t *testing.T, opts wsmanager.Options, n int) (m *wsmanager.Manager, clients []*wstest.Client) {
	t.Helper()
	m, url := serve(t, wsmanager.Callbacks{OnAccept: byQuery, OnMessage: func(c *wsmanager.Conn, msg wsmanager.Message) error {
		c.Manager().Group("g").Send(msg)
		return nil
	}}, opts, nil)
	for i := range 2 * n {
		header := offering
		if i%2 == 1 {
			header = nil
		}
		clients = append(clients, dialOver(t, fmt.Sprintf("%s?name=%d&group=g", url, i), header))
	}
	return m, clients
}

// A broadcast is compressed once for all connections that have negotiated compression, and
// not at all if there is no such connection.
func TestBroadcastIsCompressedOnce(t *testing.T) { onEachDriver(t, testBroadcastIsCompressedOnce) }

func testBroadcastIsCompressedOnce(t *testing.T) {
	m, clients := newMixedManager(t, compressing(), 10)
	text := string(jsonText(2000))
	p := wsmanager.Prepare(wsmanager.Text(text))
	compressed := uint64(0)
	for name, tt := range map[string]struct {
		send func() wsmanager.Sent
		cost uint64
	}{
		"to all":     {func() wsmanager.Sent { return m.Broadcast(wsmanager.Text(text)) }, 1},
		"to a group": {func() wsmanager.Sent { return m.Group("g").Send(wsmanager.Text(text)) }, 1},
		"to a filtered audience": {func() wsmanager.Sent {
			return m.All().WhereLocal(func(*wsmanager.Conn) bool { return true }).Send(wsmanager.Text(text))
		}, 1},
		"prepared, twice": {func() wsmanager.Sent { m.All().SendPrepared(p); return m.Group("g").SendPrepared(p) }, 1},
		"incompressible":  {func() wsmanager.Sent { return m.Broadcast(wsmanager.Binary(noise(2000))) }, 1},
	} {
		require.Equal(t, wsmanager.Sent{Queued: 20}, tt.send(), name)
		compressed += tt.cost
		require.Equal(t, compressed, m.Stats().Compressed.Out, name)
		for i, c := range clients {
			switch name {
			case "incompressible":
				c.ExpectBinary(noise(2000))
			case "prepared, twice":
				c.ExpectText(text)
				fallthrough
			default:
				f, err := c.ReadFrame()
				require.NoError(t, err)
				require.Equal(t, i%2 == 0, f.Header.Rsv1())
				if f.Header.Rsv1() {
					require.Less(t, len(f.Payload), len(text)/2)
					f.Payload = inflate(t, f.Payload)
				}
				require.Equal(t, text, string(f.Payload))
			}
		}
	}
	for i, c := range clients {
		if i%2 == 0 {
			c.Kill()
		}
	}
	awaitCondition(t, func() bool { return m.All().Len() == 10 })
	require.Equal(t, wsmanager.Sent{Queued: 10}, m.Broadcast(wsmanager.Text(text)))
	require.Equal(t, compressed, m.Stats().Compressed.Out, "no compressing connection is left")
}

// Variants and compression are independent: each combination is encoded once.
func TestVariantsOfAMixedAudience(t *testing.T) { onEachDriver(t, testVariantsOfAMixedAudience) }

func testVariantsOfAMixedAudience(t *testing.T) {
	m, url := serve(t, wsmanager.Callbacks{OnAccept: byQuery}, compressing(), nil)
	var encoded [wsmanager.MaxVariants]atomic.Int32
	var clients []*wstest.Client
	for i := range 4 * wsmanager.MaxVariants {
		header := offering
		if i%2 == 1 {
			header = nil
		}
		clients = append(clients, dialOver(t, fmt.Sprintf("%s?name=%d&defer&group=g", url, i), header))
		require.NoError(t, named(t, m, fmt.Sprint(i)).Ready(wsmanager.Variant(i/2%wsmanager.MaxVariants)))
	}
	p := wsmanager.PrepareFunc(func(v wsmanager.Variant) (wsmanager.Message, error) {
		encoded[v].Add(1)
		return wsmanager.Text(repeat(fmt.Sprintf("as %d ", v), 100)), nil
	})
	for range 2 {
		require.Equal(t, wsmanager.Sent{Queued: len(clients)}, m.All().SendPrepared(p))
		require.Equal(t, wsmanager.Sent{Queued: len(clients)}, m.Group("g").SendPrepared(p))
	}
	for i, c := range clients {
		for range 4 {
			c.ExpectText(repeat(fmt.Sprintf("as %d ", i/2%wsmanager.MaxVariants), 100))
		}
	}
	for v := range encoded {
		require.EqualValues(t, 1, encoded[v].Load())
	}
	require.EqualValues(t, wsmanager.MaxVariants, m.Stats().Compressed.Out)
}

// Every client receives every message once and in one order, whether messages in between
// are compressed, joined or sent to one connection only.
func TestOrderInAMixedAudience(t *testing.T) { onEachDriver(t, testOrderInAMixedAudience) }

func testOrderInAMixedAudience(t *testing.T) {
	const senders, messages = 4, 200
	opts := compressing()
	opts.Outbox.Messages = (senders + 1) * messages // the clients read only after all messages were sent
	m, clients := newMixedManager(t, opts, 5)
	pad := repeat("padding ", 40)
	var wg sync.WaitGroup
	// Some goroutines broadcast to all and to a group in turn. A peer causes deferred
	// broadcasts.
	for s := range senders {
		wg.Go(func() {
			for i := range messages {
				msg := wsmanager.Text(fmt.Sprintf("%d %d %s", s, i, pad))
				msg.NoCompression = i%3 == 0
				if i%2 == 0 {
					m.Broadcast(msg)
				} else {
					m.Group("g").Send(msg)
				}
			}
		})
	}
	wg.Go(func() {
		var burst []byte
		for i := range messages {
			burst = append(burst, compressedFrames(t, ws.OpText, fmt.Appendf(nil, "%d %d %s", senders, i, pad), 1, 0)...)
		}
		clients[0].SendRaw(burst)
	})
	wg.Wait()
	for _, c := range clients {
		var next [senders + 1]int
		for range (senders + 1) * messages {
			var s, i int
			text := c.Text()
			_, err := fmt.Sscan(text, &s, &i)
			require.NoError(t, err)
			require.Equal(t, next[s], i, "of sender %d", s)
			require.Equal(t, fmt.Sprintf("%d %d %s", s, i, pad), text)
			next[s]++
		}
	}
	require.Zero(t, m.Stats().Dropped)
}
