package wsmanager

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWallTime(t *testing.T) {
	now := time.Unix(1e9, 5)
	for name, tt := range map[string]struct {
		t    time.Time
		want wallTime
	}{
		"none":              {time.Time{}, 0},
		"now":               {now, 1e18 + 5},
		"1970":              {time.Unix(0, 0), 1},
		"the year 1":        {time.Time{}.Add(1), 1},
		"far in the past":   {time.Unix(-1<<60, 0), 1},
		"the last":          {time.Unix(0, math.MaxInt64), math.MaxInt64},
		"after the last":    {time.Unix(0, math.MaxInt64).Add(1), math.MaxInt64},
		"the year 9999":     {time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), math.MaxInt64},
		"far in the future": {time.Unix(1<<60, 0), math.MaxInt64},
	} {
		require.Equal(t, tt.want, newWallTime(tt.t), name)
	}
	require.Equal(t, time.Duration(math.MaxInt64-1), wallTime(math.MaxInt64).left(time.Unix(-1<<60, 0)), "no overflow")
	require.Equal(t, -time.Second, newWallTime(now).left(now.Add(time.Second)))
}

// A connection without an expiry has no state for it.
func TestNoExpiryCostsNothing(t *testing.T) {
	m, _ := fakeManager(t, Options{})
	c := fakeConn(t, m, "a", newFakeTransport(1000), Accept{})
	require.NoError(t, c.Renew(time.Time{}))
	require.Nil(t, c.life.cold)
}

// A message for a connection that was expired at its handshake never reaches the peer.
func TestExpiredBeforeAttachGetsNoMessages(t *testing.T) {
	for name, a := range map[string]Accept{"OnAccept": {Expires: time.Unix(1, 0)}, "Renew": {}} {
		t.Run(name, func(t *testing.T) {
			m, _ := fakeManager(t, Options{})
			c := m.newConn("a", a, nil, "fake")
			m.register(c, a)
			require.Equal(t, 1, m.Broadcast(Text("for members")).Queued)
			if name == "Renew" {
				require.NoError(t, c.Renew(time.Unix(1, 0)))
				require.Equal(t, stateOpen, c.life.state, "attach closes it")
			}
			tr := newFakeTransport(1000)
			c.session().attach(tr)
			tr.releaseWrites()
			awaitNoWriters(t, m)
			require.Equal(t, []string{"0x8"}, tr.frames(t))
			require.ErrorIs(t, c.life.cold.cause, ErrExpired)
			m.unregister(c)
			c.session().release()
		})
	}
}

// A peer that reads nothing is cut at the expiry: it would not read the close frame either.
func TestExpiryOfAStuckPeer(t *testing.T) {
	m, clock := fakeManager(t, Options{Timeouts: Timeouts{Write: time.Hour}})
	tr := newFakeTransport(0)
	c := fakeConn(t, m, "a", tr, Accept{Expires: clock.Now().Add(10 * time.Second)})
	sendAndBlock(t, c, tr, "half")
	clock.Step(9 * time.Second)
	require.Equal(t, stateOpen, c.life.state)
	clock.Step(3 * time.Second)
	require.Equal(t, stateCut, c.life.state)
	require.ErrorIs(t, c.life.cold.cause, ErrExpired)
}

// The expiry comes at most two seconds late and never early, and the wheel's other times stay.
func TestExpiryIsPunctual(t *testing.T) {
	for _, after := range []time.Duration{time.Nanosecond, time.Second, 2500 * time.Millisecond, 49 * time.Second, time.Hour} {
		m, clock := fakeManager(t, Options{Timeouts: Timeouts{PingInterval: 50 * time.Second, Idle: 2 * time.Hour}})
		began := clock.Now()
		c := fakeConn(t, m, "a", newFakeTransport(10_000), Accept{Expires: began.Add(after)})
		for !c.reception.IsClosing() {
			clock.Step(50 * time.Millisecond)
		}
		took := clock.Now().Sub(began)
		require.GreaterOrEqual(t, took, after)
		require.LessOrEqual(t, took, after+2*time.Second)
		pings := 0
		for _, f := range c.out.Transport().(*fakeTransport).frames(t) {
			if f == "0x9" {
				pings++
			}
		}
		require.InDelta(t, after.Seconds()/50, pings, after.Seconds()/50/10+1)
	}
}
