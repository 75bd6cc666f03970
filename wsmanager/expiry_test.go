package wsmanager_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// unhurried returns options whose other time-outs exceed the steps of the tests of expiries.
func unhurried() wsmanager.Options {
	opts := optionsWithoutLog()
	opts.Timeouts = wsmanager.Timeouts{PingInterval: 100 * time.Hour, Idle: 200 * time.Hour, Write: 100 * time.Hour, Close: 100 * time.Hour}
	opts.ReadyTimeout = 100 * time.Hour
	return opts
}

// expiring is a server with a stepped clock, whose connections have the expiry of their test.
type expiring struct {
	m      *wsmanager.Manager
	url    string
	step   func(time.Duration)
	ended  chan error
	begins time.Time // not before the time of the stepped clock
	read   uint64    // messages that expectText has read
}

func newExpiring(t *testing.T, opts wsmanager.Options, expires func(begins time.Time) time.Time, onMessage func(*wsmanager.Conn) error) *expiring {
	t.Helper()
	e := &expiring{ended: make(chan error, 100)}
	e.m, e.url, e.step = stepped(t, wsmanager.Callbacks{
		OnAccept: func(*http.Request) (wsmanager.Accept, error) {
			return wsmanager.Accept{Expires: expires(e.begins)}, nil
		},
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			if onMessage == nil {
				return c.Send(m)
			}
			return onMessage(c)
		},
		OnClose: func(_ *wsmanager.Conn, err error) { e.ended <- err },
	}, opts)
	e.begins = time.Now()
	return e
}

// connect returns a client whose connection is open and has its timers.
func (e *expiring) connect(t *testing.T) (*wstest.Client, *wsmanager.Conn) {
	t.Helper()
	c := dialOver(t, e.url, nil)
	awaitCondition(t, func() bool { return e.m.All().Len() == 1 })
	conn := onlyConn(t, e.m)
	require.NoError(t, conn.Send(wsmanager.Text("connected")))
	e.expectText(t, c, "connected")
	return c, conn
}

// expectText reads a text and waits until its writer has ended: a step would make it a write
// that is stuck.
func (e *expiring) expectText(t *testing.T, c *wstest.Client, text string) {
	t.Helper()
	c.ExpectText(text)
	e.read++
	awaitCondition(t, func() bool { return e.m.Stats().MessagesOut >= e.read })
}

// expectOpen fails the test unless the connection echoes.
func (e *expiring) expectOpen(t *testing.T, c *wstest.Client) {
	t.Helper()
	c.SendText("open?")
	e.expectText(t, c, "open?")
}

// expectExpired reads the close frame and checks the error of OnClose.
func (e *expiring) expectExpired(t *testing.T, c *wstest.Client) {
	t.Helper()
	require.Equal(t, "expired", c.ExpectClose(1008))
	err := receive(t, e.ended)
	require.ErrorIs(t, err, wsmanager.ErrExpired)
	var ce *wsmanager.CloseError
	require.ErrorAs(t, err, &ce)
	require.Equal(t, &wsmanager.CloseError{Code: 1008, Reason: "expired", Err: wsmanager.ErrExpired}, ce)
}

func never(time.Time) time.Time { return time.Time{} }

func after(d time.Duration) func(time.Time) time.Time {
	return func(begins time.Time) time.Time { return begins.Add(d) }
}

// A connection is closed at the time that OnAccept or the last Renew has set, and not before.
func TestExpires(t *testing.T) { onEachDriverAtOnce(t, testExpires) }

func testExpires(t *testing.T) {
	renew := func(at func(time.Time) time.Time) func(*testing.T, *expiring, *wsmanager.Conn) {
		return func(t *testing.T, e *expiring, c *wsmanager.Conn) { require.NoError(t, c.Renew(at(e.begins))) }
	}
	for name, tt := range map[string]struct {
		accept func(time.Time) time.Time
		then   func(*testing.T, *expiring, *wsmanager.Conn)
		want   time.Duration // 0: it does not expire
	}{
		"OnAccept":                    {after(time.Hour), nil, time.Hour},
		"a time without a zone":       {func(b time.Time) time.Time { return time.Unix(b.Add(time.Hour).Unix()+1, 0).UTC() }, nil, time.Hour},
		"no expiry":                   {never, nil, 0},
		"renewed to later":            {after(time.Hour), renew(after(2 * time.Hour)), 2 * time.Hour},
		"renewed to earlier":          {after(3 * time.Hour), renew(after(time.Hour)), time.Hour},
		"renewed to never":            {after(time.Hour), renew(never), 0},
		"renewed without an expiry":   {never, renew(after(time.Hour)), time.Hour},
		"never renewed to never":      {never, renew(never), 0},
		"the year 9999":               {func(time.Time) time.Time { return time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC) }, nil, 0},
		"beyond all years":            {func(time.Time) time.Time { return time.Unix(1<<60, 0) }, nil, 0},
		"the last nanosecond":         {func(time.Time) time.Time { return time.Unix(0, math.MaxInt64) }, nil, 0},
		"the largest duration":        {after(math.MaxInt64), nil, 0},
		"renewed to beyond all years": {after(time.Hour), renew(func(time.Time) time.Time { return time.Unix(1<<60, 0) }), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newExpiring(t, unhurried(), tt.accept, nil)
			c, conn := e.connect(t)
			e.expectOpen(t, c)
			if tt.then != nil {
				tt.then(t, e, conn)
			}
			if tt.want == 0 {
				e.step(4 * time.Hour)
				e.expectOpen(t, c)
				require.Zero(t, e.m.Stats().Expired)
				return
			}
			e.step(tt.want - 2*time.Minute)
			e.expectOpen(t, c)
			require.Zero(t, e.m.Stats().Expired)
			e.step(4 * time.Minute)
			e.expectExpired(t, c)
			require.ErrorIs(t, conn.Renew(time.Now().Add(100*time.Hour)), wsmanager.ErrClosed)
			require.ErrorIs(t, conn.Renew(time.Time{}), wsmanager.ErrClosed)
			s := e.m.Stats()
			require.EqualValues(t, 1, s.Expired)
			require.Equal(t, map[wsmanager.StatusCode]uint64{1008: 1}, s.Closed)
		})
	}
}

// A time that has passed closes the connection: after the handshake if OnAccept sets it, so
// that the client reads the code, and at once if Renew sets it.
func TestExpiredBefore(t *testing.T) { onEachDriverAtOnce(t, testExpiredBefore) }

func testExpiredBefore(t *testing.T) {
	for name, past := range map[string]func(time.Time) time.Time{
		"an hour":             after(-time.Hour),
		"a nanosecond":        after(-time.Nanosecond),
		"1970":                func(time.Time) time.Time { return time.Unix(0, 0) },
		"the year 1":          func(time.Time) time.Time { return time.Time{}.Add(time.Nanosecond) },
		"before all years":    func(time.Time) time.Time { return time.Unix(-1<<60, 0) },
		"the minimal seconds": func(time.Time) time.Time { return time.Unix(math.MinInt64, 0).UTC() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newExpiring(t, unhurried(), func(begins time.Time) time.Time { return past(begins.Add(-time.Minute)) }, nil)
			c := dialOver(t, e.url, nil)
			e.expectExpired(t, c)
			require.EqualValues(t, 1, e.m.Stats().Accepted)

			e = newExpiring(t, unhurried(), never, nil)
			c, conn := e.connect(t)
			e.expectOpen(t, c)
			require.NoError(t, conn.Renew(past(e.begins.Add(-time.Minute))))
			require.ErrorIs(t, conn.Send(wsmanager.Text("late")), wsmanager.ErrClosed)
			require.ErrorIs(t, conn.Renew(time.Time{}), wsmanager.ErrClosed)
			e.expectExpired(t, c)
			require.EqualValues(t, 1, e.m.Stats().Expired)
		})
	}
}

// Messages that were sent before the expiry arrive before the close frame. Messages of the peer
// that arrive after it are dropped.
func TestExpiryIsGraceful(t *testing.T) { onEachDriverAtOnce(t, testExpiryIsGraceful) }

func testExpiryIsGraceful(t *testing.T) {
	j := newJournal()
	e := newExpiring(t, unhurried(), after(time.Hour), func(*wsmanager.Conn) error { j.note("message"); return nil })
	c, conn := e.connect(t)
	require.NoError(t, conn.Send(wsmanager.Text("before")))
	awaitCondition(t, func() bool { return e.m.Stats().MessagesOut == 2 }) // as in expectText
	e.step(2 * time.Hour)
	require.ErrorIs(t, conn.Send(wsmanager.Text("after")), wsmanager.ErrClosed)
	require.Zero(t, e.m.Broadcast(wsmanager.Text("after")).Queued)
	c.SendText("after")
	c.ExpectText("before")
	e.expectExpired(t, c)
	require.Empty(t, j.all())
}

// A callback may renew its connection. One that has run into the expiry learns of it by its
// Context.
func TestExpiryAndCallbacks(t *testing.T) { onEachDriverAtOnce(t, testExpiryAndCallbacks) }

func testExpiryAndCallbacks(t *testing.T) {
	t.Run("Renew in OnMessage", func(t *testing.T) {
		var e *expiring
		e = newExpiring(t, unhurried(), after(time.Hour), func(c *wsmanager.Conn) error {
			return errors.Join(c.Renew(e.begins.Add(3*time.Hour)), c.Send(wsmanager.Text("renewed")))
		})
		c, _ := e.connect(t)
		c.SendText("token")
		e.expectText(t, c, "renewed")
		e.step(2 * time.Hour)
		require.Equal(t, 1, e.m.All().Len())
		e.step(2 * time.Hour)
		e.expectExpired(t, c)
	})
	t.Run("Renew to the past in OnMessage", func(t *testing.T) {
		e := newExpiring(t, unhurried(), never, func(c *wsmanager.Conn) error {
			_ = c.Send(wsmanager.Text("first"))
			return c.Renew(time.Unix(1, 0))
		})
		c, _ := e.connect(t)
		c.SendText("token")
		c.ExpectText("first")
		e.expectExpired(t, c)
	})
	t.Run("while OnMessage runs", func(t *testing.T) {
		began, causes := make(chan bool, 1), make(chan error, 1)
		e := newExpiring(t, unhurried(), after(time.Hour), func(c *wsmanager.Conn) error {
			began <- true
			<-c.Context().Done()
			causes <- context.Cause(c.Context())
			return c.Renew(time.Time{})
		})
		c, conn := e.connect(t)
		c.SendText("begin")
		receive(t, began)
		awaitCondition(t, func() bool { e.step(time.Second); return wsmanager.Taken(conn) })
		e.step(2 * time.Hour)
		e.expectExpired(t, c)
		require.ErrorIs(t, receive(t, causes), wsmanager.ErrExpired)
	})
}

// An expiry during the close handshake changes nothing.
func TestExpiryWhileClosing(t *testing.T) { onEachDriverAtOnce(t, testExpiryWhileClosing) }

func testExpiryWhileClosing(t *testing.T) {
	needH1(t, "a stream ends after the close frame without waiting")
	e := newExpiring(t, unhurried(), after(time.Hour), nil)
	c, conn := e.connect(t)
	require.NoError(t, conn.Close(4000, "bye"))
	require.ErrorIs(t, conn.Renew(e.begins.Add(3*time.Hour)), wsmanager.ErrClosed)
	e.step(2 * time.Hour)
	require.Equal(t, "bye", c.ExpectClose(4000))
	err := receive(t, e.ended)
	require.NotErrorIs(t, err, wsmanager.ErrExpired)
	require.ErrorContains(t, err, "4000")
	require.Zero(t, e.m.Stats().Expired)
}

// Renew either keeps the connection open or returns ErrClosed, whenever the expiry comes.
func TestRenewRacesWithExpiry(t *testing.T) { onEachDriverAtOnce(t, testRenewRacesWithExpiry) }

func testRenewRacesWithExpiry(t *testing.T) {
	const conns = 20
	e := newExpiring(t, unhurried(), after(time.Hour), nil)
	clients := map[string]*wstest.Client{} // by connection
	for range conns {
		known := ids(e.m)
		c := dialOver(t, e.url, nil)
		awaitCondition(t, func() bool { return e.m.All().Len() == len(known)+1 })
		e.expectOpen(t, c)
		for conn := range e.m.All().Local() {
			if _, ok := clients[conn.ID()]; !ok {
				clients[conn.ID()] = c
			}
		}
	}
	e.step(time.Hour - time.Second)
	var wg sync.WaitGroup
	results := make(map[string]error)
	var mu sync.Mutex
	for conn := range e.m.All().Local() {
		wg.Go(func() {
			err := conn.Renew(e.begins.Add(10 * time.Hour))
			mu.Lock()
			defer mu.Unlock()
			results[conn.ID()] = err
		})
	}
	e.step(time.Minute)
	wg.Wait()
	e.step(time.Hour)
	require.Len(t, results, conns)
	expired := 0
	for id, err := range results {
		if err == nil {
			e.expectOpen(t, clients[id])
			continue
		}
		expired++
		require.ErrorIs(t, err, wsmanager.ErrClosed)
		e.expectExpired(t, clients[id])
	}
	require.EqualValues(t, expired, e.m.Stats().Expired)
	e.step(10 * time.Hour)
	awaitCondition(t, func() bool { return e.m.Stats().Expired == conns })
}

// A connection of a client expires by Renew.
func TestClientRenews(t *testing.T) { onSocketDriversAtOnce(t, testClientRenews) }

func testClientRenews(t *testing.T) {
	_, url := serve(t, wsmanager.Callbacks{}, optionsWithoutLog(), nil)
	ended := make(chan error, 1)
	c, err := dialAs(t.Context(), t, url, wsmanager.Callbacks{OnClose: func(_ *wsmanager.Conn, err error) { ended <- err }}, dialOptionsWithoutLog())
	require.NoError(t, err)
	require.NoError(t, c.Renew(time.Now().Add(time.Hour)))
	require.NoError(t, c.Context().Err())
	require.NoError(t, c.Renew(time.Now().Add(-time.Second)))
	require.ErrorIs(t, receive(t, ended), wsmanager.ErrExpired)
	require.EqualValues(t, 1, c.Manager().Stats().Expired)
	require.ErrorIs(t, c.Renew(time.Time{}), wsmanager.ErrClosed)
}

// A Client whose connection has expired connects again, with the token that OnDial adds.
func TestClientConnectsAgainAfterTheExpiry(t *testing.T) {
	onSocketDriversAtOnce(t, testClientConnectsAgainAfterTheExpiry)
}

func testClientConnectsAgainAfterTheExpiry(t *testing.T) {
	m, url := serve(t, wsmanager.Callbacks{OnAccept: func(r *http.Request) (a wsmanager.Accept, err error) {
		if r.Header.Get("Authorization") == "token 1" {
			a.Expires = time.Now().Add(-time.Hour)
		}
		return a, nil
	}}, optionsWithoutLog(), nil)
	dial := dialOptionsWithoutLog()
	tokens := 0
	dial.Handshake.OnDial = func(_ context.Context, a *wsmanager.Attempt) error {
		tokens++
		a.Header.Set("Authorization", fmt.Sprint("token ", tokens))
		return nil
	}
	second := make(chan bool, 1)
	var cl *wsmanager.Client
	cl, err := newClientAs(t, url, wsmanager.Callbacks{OnConnect: func(*wsmanager.Conn) error {
		if cl.ConnectCount() == 2 {
			second <- true
		}
		return nil
	}}, clientOptions(dial, wsmanager.Reconnect{MinDelay: time.Millisecond}))
	require.NoError(t, err)
	run := make(chan error, 1)
	go func() { run <- cl.Run(t.Context()) }()
	receive(t, second)
	require.EqualValues(t, 1, m.Stats().Expired)
	require.NoError(t, cl.Close(1000, ""))
	require.NoError(t, receive(t, run))
}

// The end of an identity is no fault: its record has the level Info.
func TestExpiryIsLogged(t *testing.T) {
	opts, log := logged()
	m, url := serve(t, wsmanager.Callbacks{OnAccept: func(*http.Request) (wsmanager.Accept, error) {
		return wsmanager.Accept{Expires: time.Now().Add(-time.Second)}, nil
	}}, opts, nil)
	c := dialOver(t, url, nil)
	require.Equal(t, "expired", c.ExpectClose(1008))
	rec := log.record(t, 0)
	require.Equal(t, "INFO", rec["level"])
	require.Equal(t, "expired", rec["reason"])
	require.EqualValues(t, 1008, rec["code"])
	require.Contains(t, rec["err"], "the connection has expired")
	require.EqualValues(t, 1, m.Stats().Expired)
}
