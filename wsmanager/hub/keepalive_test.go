package hub_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// runInFakeTime runs a test in fake time, with a hub that is served in memory.
func runInFakeTime(t *testing.T, methods hub.Methods, opts hub.Options, test func(t *testing.T, h *hub.Hub)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		opts.Logger = optionsWithoutLog().Logger
		opts.WebSocket.Driver = wsmanager.DriverGoroutine
		h, err := hub.New(methods, opts)
		require.NoError(t, err)
		test(t, h)
		require.NoError(t, h.Shutdown(t.Context()))
	})
}

// dialHandler connects to a hub without a socket.
func dialHandler(t testing.TB, h http.Handler, target string) *peer {
	t.Helper()
	return &peer{Client: wstest.DialHandler(t, h, target, nil, wstest.Memory{Patience: 24 * time.Hour}), t: t}
}

// await receives from a channel that was made outside of the bubble. It polls, because fake time does not advance while
// a goroutine waits for such a channel.
func await[T any](ch <-chan T) T {
	for len(ch) == 0 {
		time.Sleep(time.Millisecond)
	}
	return <-ch
}

// The hub sends a ping after 15 s without a message.
func TestPings(t *testing.T) {
	runInFakeTime(t, hub.Methods{"Add": func(a, b int) int { return a + b }}, hub.Options{}, func(t *testing.T, h *hub.Hub) {
		p := dialHandler(t, h, "/hub").shake()
		begin := time.Now()
		for i := range 10 {
			p.ExpectText("{\"type\":6}\x1e")
			require.Equal(t, time.Duration(i+1)*15*time.Second, time.Since(begin))
			p.send(`{"type":6}`)
		}
		// Other messages count: the ping comes 15 s after the last one.
		time.Sleep(10 * time.Second)
		p.result("3", "Add", 1, 2)
		begin = time.Now()
		p.ExpectText("{\"type\":6}\x1e")
		require.Equal(t, 15*time.Second, time.Since(begin))
		p.SendClose(1000, "")
		p.ExpectClose(1000)
	})
}

// The hub closes a connection after 30 s without a message of the client.
func TestClientTimeout(t *testing.T) {
	ended := make(chan error, 1)
	runInFakeTime(t, nil, hub.Options{Disconnected: func(_ *hub.Context, err error) { ended <- err }}, func(t *testing.T, h *hub.Hub) {
		p := dialHandler(t, h, "/hub").shake()
		time.Sleep(20 * time.Second)
		p.send(`{"type":6}`) // the hub receives it
		begin := time.Now()
		require.Equal(t, closedWithError, p.readToClose(1000))
		require.Equal(t, 30*time.Second, time.Since(begin))
		require.ErrorIs(t, await(ended), hub.ErrClientTimeout)
	})
}

// The time during which the hub does not read does not count for ClientTimeout.
func TestPausedReadingIsNotClientTimeout(t *testing.T) {
	runInFakeTime(t, hub.Methods{"Wait": func() { time.Sleep(10 * time.Minute) }}, hub.Options{MaxPendingCalls: 1}, func(t *testing.T, h *hub.Hub) {
		p := dialHandler(t, h, "/hub").shake()
		p.send(invocation("1", "Wait"), invocation("2", "Wait"))
		p.send(`{"type":6}`)
		p.expect(`{"type":3,"invocationId":"1","result":null}`)
		go func() {
			for range 23 {
				time.Sleep(25 * time.Second)
				p.SendText("{\"type\":6}\x1e")
			}
		}()
		p.expect(`{"type":3,"invocationId":"2","result":null}`)
		p.SendClose(1000, "")
		p.ExpectClose(1000)
		time.Sleep(time.Minute)
	})
}

// A connection without a handshake ends after 15 s.
func TestHandshakeTimeout(t *testing.T) {
	runInFakeTime(t, nil, hub.Options{}, func(t *testing.T, h *hub.Hub) {
		k := ticketOf(t, h, "negotiateVersion=1")
		p := dialHandler(t, h, "/hub?id="+k.ConnectionToken)
		begin := time.Now()
		p.SendText(`{"protocol":`)
		require.Equal(t, `{"error":"Handshake was canceled."}`, p.readToClose(1000))
		require.Equal(t, 15*time.Second, time.Since(begin))
		res := wstest.HandshakeHandler(t, h, wstest.Request(t, "/hub?id="+k.ConnectionToken), nil, wstest.Memory{Patience: time.Hour}).Response
		require.Equal(t, http.StatusNotFound, res.StatusCode)
	})
}
