package wsmanager

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// startPings starts n calls of Ping, one after the other, without waiting for the pongs.
func startPings(t *testing.T, c *Conn, n int) (results chan time.Duration, payloads [][]byte) {
	t.Helper()
	results = make(chan time.Duration, n)
	for range n {
		p, err := startPing(c)
		require.NoError(t, err)
		payloads = append(payloads, p.Payload())
		go func() {
			rtt, ok := <-p.Answered()
			if !ok {
				rtt = -1
			}
			results <- rtt
		}()
	}
	return results, payloads
}

// A ping that is made before the handshake was answered is sent behind it.
func TestPingBeforeAttach(t *testing.T) {
	m, clock := fakeManager(t, Options{})
	c := m.newConn("a", Accept{}, nil, "fake")
	m.register(c, Accept{})
	results, payloads := startPings(t, c, 2)
	clock.Step(time.Second)
	tr := newFakeTransport(1000)
	c.session().attach(tr)
	require.Equal(t, []string{"0x9"}, tr.frames(t), "one ping for both calls")
	clock.Step(3 * time.Millisecond)
	require.NoError(t, (*openFrames)(c).OnPong(payloads[1]))
	for range payloads {
		require.Equal(t, 3*time.Millisecond, <-results, "since the ping was sent")
	}
	m.unregister(c)
	c.session().release()
}

// Pings that a peer does not read replace each other: the outbox has one at most.
func TestPingsOfAStuckPeer(t *testing.T) {
	m, clock := fakeManager(t, Options{})
	tr := newFakeTransport(0)
	c := fakeConn(t, m, "a", tr, Accept{})
	sendAndBlock(t, c, tr, "half")
	results, payloads := startPings(t, c, 100)
	tr.releaseWrites()
	awaitNoWriters(t, m)
	require.Equal(t, []string{"half", "0x9"}, tr.frames(t))
	clock.Step(time.Second)
	require.NoError(t, (*openFrames)(c).OnPong(payloads[99]))
	for range payloads {
		require.Equal(t, time.Second, <-results)
	}
}

// A write that fails ends the pings, and nothing is sent after the close frame.
func TestPingsEndWithTheConnection(t *testing.T) {
	m, _ := fakeManager(t, Options{})
	tr := newFakeTransport(1000)
	c := fakeConn(t, m, "a", tr, Accept{})
	results, payloads := startPings(t, c, 2)
	require.NoError(t, c.Close(1000, ""))
	require.Equal(t, time.Duration(-1), <-results)
	require.Equal(t, time.Duration(-1), <-results)
	require.NoError(t, (*openFrames)(c).OnPong(payloads[0]))
	_, err := startPing(c)
	require.ErrorIs(t, err, ErrClosed)
	require.Equal(t, []string{"0x9", "0x9", "0x8"}, tr.frames(t))
}

// A connection that was never pinged by the application has no state for it.
func TestKeepAliveCostsNothing(t *testing.T) {
	m, clock := fakeManager(t, Options{})
	tr := newFakeTransport(1000)
	c := fakeConn(t, m, "a", tr, Accept{})
	clock.Step(56 * time.Second)
	require.Equal(t, []string{"0x9"}, tr.frames(t))
	require.NoError(t, (*openFrames)(c).OnPong(make([]byte, 8)))
	require.Nil(t, c.life.cold)
	require.Equal(t, 2, tr.wrote.Len(), "no payload")
}
