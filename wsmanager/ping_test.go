package wsmanager_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// pinging is a call of Ping.
type pinging chan pinged

type pinged struct {
	rtt time.Duration
	err error
}

func ping(ctx context.Context, c *wsmanager.Conn) pinging {
	p := make(pinging, 1)
	go func() {
		rtt, err := c.Ping(ctx)
		p <- pinged{rtt, err}
	}()
	return p
}

// expectWaiting fails the test if the call has returned.
func (p pinging) expectWaiting(t *testing.T) {
	t.Helper()
	select {
	case r := <-p:
		t.Fatalf("Ping has returned: %v", r)
	default:
	}
}

// pingServer returns a connection that echoes, its client, and the step of its clock.
func pingServer(t *testing.T) (*wstest.Client, *wsmanager.Conn, func(time.Duration)) {
	t.Helper()
	opts := unhurried()
	opts.Timeouts.PingInterval, opts.Timeouts.Idle = 50*time.Second, 110*time.Second
	opts.Limits.ControlRate = 1000
	m, url, step := stepped(t, wsmanager.Callbacks{OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) }}, opts)
	c := dialOver(t, url, nil)
	read(t, c)
	return c, onlyConn(t, m), step
}

// read returns when the server has handled all that the client has sent.
func read(t *testing.T, c *wstest.Client) {
	t.Helper()
	c.SendText("read")
	c.ExpectText("read")
}

// Ping returns the time until the pong of its ping, or of a later one. Other pongs change
// nothing.
func TestPingAnswers(t *testing.T) { onEachDriverAtOnce(t, testPingAnswers) }

func testPingAnswers(t *testing.T) {
	for name, test := range map[string]func(t *testing.T, c *wstest.Client, conn *wsmanager.Conn, step func(time.Duration)){
		"a pong": func(t *testing.T, c *wstest.Client, conn *wsmanager.Conn, step func(time.Duration)) {
			require.Zero(t, conn.Latency())
			for _, rtt := range []time.Duration{3 * time.Second, 40 * time.Millisecond, 0} {
				p := ping(t.Context(), conn)
				payload := c.ExpectPing()
				step(rtt)
				p.expectWaiting(t)
				c.SendPong(payload)
				require.Equal(t, pinged{rtt, nil}, receive(t, p))
				require.Equal(t, rtt, conn.Latency())
			}
		},
		"pongs that answer nothing": func(t *testing.T, c *wstest.Client, conn *wsmanager.Conn, step func(time.Duration)) {
			c.SendPong([]byte("12345678"))
			p := ping(t.Context(), conn)
			payload := c.ExpectPing()
			for _, other := range [][]byte{nil, {}, []byte("12345678"), payload[:7], append([]byte("x"), payload...), make([]byte, 125), make([]byte, 8)} {
				c.SendPong(other)
			}
			step(time.Second)
			read(t, c)
			p.expectWaiting(t)
			require.Zero(t, conn.Latency())
			c.SendPong(payload)
			require.Equal(t, pinged{time.Second, nil}, receive(t, p))
			step(time.Second)
			c.SendPong(payload) // again
			read(t, c)
			require.Equal(t, time.Second, conn.Latency())
		},
		"each is answered": func(t *testing.T, c *wstest.Client, conn *wsmanager.Conn, step func(time.Duration)) {
			first := ping(t.Context(), conn)
			payload1 := c.ExpectPing()
			step(time.Second)
			second := ping(t.Context(), conn)
			payload2 := c.ExpectPing()
			require.NotEqual(t, payload1, payload2)
			step(time.Second)
			c.SendPong(payload1)
			require.Equal(t, pinged{2 * time.Second, nil}, receive(t, first))
			read(t, c)
			second.expectWaiting(t)
			step(time.Second)
			c.SendPong(payload2)
			require.Equal(t, pinged{2 * time.Second, nil}, receive(t, second))
		},
		"only the newest is answered": func(t *testing.T, c *wstest.Client, conn *wsmanager.Conn, step func(time.Duration)) {
			first := ping(t.Context(), conn)
			c.ExpectPing()
			step(time.Second)
			second := ping(t.Context(), conn)
			payload := c.ExpectPing()
			step(time.Second)
			c.SendPong(payload)
			require.Equal(t, pinged{2 * time.Second, nil}, receive(t, first))
			require.Equal(t, pinged{time.Second, nil}, receive(t, second))
			require.Equal(t, time.Second, conn.Latency())
		},
		"a pong in a fragmented message": func(t *testing.T, c *wstest.Client, conn *wsmanager.Conn, step func(time.Duration)) {
			c.SendRaw(wstest.Frame(ws.OpText, false, []byte("frag")))
			p := ping(t.Context(), conn)
			payload := c.ExpectPing()
			step(time.Second)
			c.SendPong(payload)
			require.Equal(t, pinged{time.Second, nil}, receive(t, p))
			c.SendRaw(wstest.Frame(ws.OpContinuation, true, []byte("ments")))
			c.ExpectText("fragments")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, conn, step := pingServer(t)
			test(t, c, conn, step)
			read(t, c)
		})
	}
}

// Ping ends with its context. The latency is still measured when the pong comes.
func TestPingAndContext(t *testing.T) { onEachDriverAtOnce(t, testPingAndContext) }

func testPingAndContext(t *testing.T) {
	c, conn, step := pingServer(t)
	why := errors.New("why")
	ended, end := context.WithCancelCause(t.Context())
	end(why)
	_, err := conn.Ping(ended)
	require.ErrorIs(t, err, why)

	ctx, cancel := context.WithCancelCause(t.Context())
	p := ping(ctx, conn)
	payload := c.ExpectPing() // the first: the context that had ended has sent none
	p.expectWaiting(t)
	cancel(why)
	require.ErrorIs(t, receive(t, p).err, why)
	step(5 * time.Second)
	c.SendPong(payload)
	read(t, c)
	require.Equal(t, 5*time.Second, conn.Latency())

	deadline, cancelDeadline := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancelDeadline()
	_, err = conn.Ping(deadline)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	c.ExpectPing()
	p = ping(t.Context(), conn)
	c.SendPong(c.ExpectPing())
	require.NoError(t, receive(t, p).err)
}

// Ping returns ErrClosed when the connection begins to close, and afterwards.
func TestPingAndEnd(t *testing.T) { onEachDriverAtOnce(t, testPingAndEnd) }

func testPingAndEnd(t *testing.T) {
	for name, end := range map[string]func(*wstest.Client, *wsmanager.Conn) error{
		"Close":              func(_ *wstest.Client, conn *wsmanager.Conn) error { return conn.Close(1000, "") },
		"the expiry":         func(_ *wstest.Client, conn *wsmanager.Conn) error { return conn.Renew(time.Unix(1, 0)) },
		"the client closes":  func(c *wstest.Client, _ *wsmanager.Conn) error { c.SendClose(1000, ""); return nil },
		"the client is gone": func(c *wstest.Client, _ *wsmanager.Conn) error { c.Kill(); return nil },
		"a protocol error":   func(c *wstest.Client, _ *wsmanager.Conn) error { c.SendRaw([]byte{0xff, 0xff}); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, conn, _ := pingServer(t)
			pings := []pinging{ping(t.Context(), conn), ping(t.Context(), conn), ping(t.Context(), conn)}
			c.ExpectPing()
			require.NoError(t, end(c, conn))
			for _, p := range pings {
				require.ErrorIs(t, receive(t, p).err, wsmanager.ErrClosed)
			}
			_, err := conn.Ping(t.Context())
			require.ErrorIs(t, err, wsmanager.ErrClosed)
			require.Zero(t, conn.Latency())
		})
	}
}

// A peer that answers no ping is closed after Timeouts.Idle, which ends Ping.
func TestPingOfASilentPeer(t *testing.T) { onEachDriverAtOnce(t, testPingOfASilentPeer) }

func testPingOfASilentPeer(t *testing.T) {
	c, conn, step := pingServer(t)
	p := ping(t.Context(), conn)
	c.ExpectPing()
	step(60 * time.Second)
	c.ExpectPing() // that of PingInterval
	p.expectWaiting(t)
	step(60 * time.Second)
	require.ErrorIs(t, receive(t, p).err, wsmanager.ErrClosed)
}

// Ping works in each callback, and while one runs: another goroutine reads the pong.
func TestPingAndCallbacks(t *testing.T) { onEachDriverAtOnce(t, testPingAndCallbacks) }

func testPingAndCallbacks(t *testing.T) {
	results := make(chan pinged, 10)
	entered, proceed := make(chan *wsmanager.Conn, 1), make(chan bool)
	call := func(ctx context.Context, c *wsmanager.Conn) {
		rtt, err := c.Ping(ctx)
		results <- pinged{rtt, err}
	}
	var messages []string
	m, url := serve(t, wsmanager.Callbacks{
		OnConnect: func(c *wsmanager.Conn) error { call(c.Context(), c); return nil },
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			messages = append(messages, string(m.Payload))
			switch string(m.Payload) {
			case "ping":
				call(c.Context(), c)
			case "hold":
				entered <- c
				<-proceed
			}
			return c.Send(m)
		},
		OnClose: func(c *wsmanager.Conn, _ error) { call(context.Background(), c) },
	}, optionsWithoutLog(), nil)
	c := dialOver(t, url, nil)
	c.SendPong(c.ExpectPing())
	require.NoError(t, receive(t, results).err, "in OnConnect")
	for range 3 {
		c.SendText("ping")
		c.SendText("next")
		c.SendPong(c.ExpectPing())
		r := receive(t, results)
		require.NoError(t, r.err, "in OnMessage")
		require.Positive(t, r.rtt)
		c.ExpectText("ping")
		c.ExpectText("next")
	}
	c.SendText("hold")
	conn := receive(t, entered)
	for range 3 {
		p := ping(t.Context(), conn)
		c.SendPong(c.ExpectPing())
		require.NoError(t, receive(t, p).err, "while OnMessage runs")
	}
	close(proceed)
	c.ExpectText("hold")
	require.Equal(t, []string{"ping", "next", "ping", "next", "ping", "next", "hold"}, messages)
	c.SendClose(1000, "")
	c.ExpectClose(1000)
	require.ErrorIs(t, receive(t, results).err, wsmanager.ErrClosed, "in OnClose")
	awaitCondition(t, func() bool { return m.All().Len() == 0 })
}

// Pings in callbacks, and of other goroutines while callbacks run, change neither the order of
// the messages nor their number.
func TestPingsAmongMessages(t *testing.T) { onEachDriverAtOnce(t, testPingsAmongMessages) }

func testPingsAmongMessages(t *testing.T) {
	const clients, messages = 4, 60
	opts := optionsWithoutLog()
	opts.Limits.ControlRate = 10_000
	var running sync.WaitGroup
	m, url := serve(t, wsmanager.Callbacks{OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
		switch m.Payload[0] % 5 {
		case 0:
			if _, err := c.Ping(c.Context()); err != nil {
				return err
			}
		case 1:
			running.Go(func() { // it may outlast the callback, and the connection
				if _, err := c.Ping(c.Context()); err != nil && !errors.Is(err, wsmanager.ErrClosed) && c.Context().Err() == nil {
					t.Error(err)
				}
			})
		}
		return c.Send(m)
	}}, opts, nil)
	var all []byte
	for i := range messages {
		all = append(all, wstest.Frame(ws.OpBinary, true, []byte{byte(i)})...)
	}
	var connected []*wstest.Client
	for range clients {
		c := dialOver(t, url, nil)
		c.SendRaw(all)
		connected = append(connected, c)
	}
	for _, c := range connected {
		for i := range messages {
			c.ExpectBinary([]byte{byte(i)}) // answers pings meanwhile
		}
		c.SendClose(1000, "")
		c.ExpectClose(1000)
	}
	require.NoError(t, m.Shutdown(t.Context()))
	running.Wait()
}

// In a callback the pong can't be read if the messages before it fill the queue. Ping ends with
// its ctx then.
func TestPingBehindAFullQueue(t *testing.T) { onEachDriverAtOnce(t, testPingBehindAFullQueue) }

func testPingBehindAFullQueue(t *testing.T) {
	results := make(chan pinged, 1)
	ctx, cancel := context.WithCancel(t.Context())
	opts := optionsWithoutLog()
	opts.Limits.MaxMessageSize = 100
	_, url := serve(t, wsmanager.Callbacks{OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
		if string(m.Payload) == "ping" {
			rtt, err := c.Ping(ctx)
			results <- pinged{rtt, err}
		}
		return c.Send(m)
	}}, opts, nil)
	c := dialOver(t, url, nil)
	c.SendText("ping")
	payload := c.ExpectPing()
	for range 3 {
		c.SendText(repeat("x", 99)) // the second one waits
	}
	c.SendPong(payload)
	cancel()
	require.ErrorIs(t, receive(t, results).err, context.Canceled)
	c.ExpectText("ping")
	for range 3 {
		c.ExpectText(repeat("x", 99))
	}
}

// From the first call of Latency on, the pings of PingInterval have a payload and are measured.
func TestLatencyOfKeepAlive(t *testing.T) { onEachDriverAtOnce(t, testLatencyOfKeepAlive) }

func testLatencyOfKeepAlive(t *testing.T) {
	c, conn, step := pingServer(t)
	stepToPing := func() []byte {
		step(60 * time.Second) // PingInterval and its 10 %
		return c.ExpectPing()
	}
	require.Empty(t, stepToPing())
	c.SendPong(nil)
	read(t, c)
	require.Zero(t, conn.Latency())
	old := stepToPing()
	require.NotEmpty(t, old)
	c.SendPong(nil) // a peer that ignores the payload is alive
	read(t, c)
	require.Zero(t, conn.Latency())
	payload := stepToPing()
	step(time.Second)
	c.SendPong(old)
	c.SendPong(payload)
	read(t, c)
	require.GreaterOrEqual(t, conn.Latency(), time.Second)
	require.LessOrEqual(t, conn.Latency(), 46*time.Second, "the third ping was sent 135 s after the start or later")
}

// Many goroutines ping many connections of one client, which answers by itself.
func TestPingsAtOnce(t *testing.T) { onSocketDriversAtOnce(t, testPingsAtOnce) }

func testPingsAtOnce(t *testing.T) {
	opts := optionsWithoutLog()
	opts.Limits.ControlRate = 100_000
	m, url := serve(t, wsmanager.Callbacks{OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) }}, opts, nil)
	d, err := wsmanager.NewDialer(url, wsmanager.Callbacks{}, dialOptions(onDriver(t, opts)))
	require.NoError(t, err)
	t.Cleanup(func() { shutdown(t, d.Manager()) })
	var wg sync.WaitGroup
	for range 4 {
		c, err := d.Dial(t.Context())
		require.NoError(t, err)
		for range 4 {
			wg.Go(func() { // from the client's side, with traffic
				for range 20 {
					_, err := c.Ping(t.Context())
					if err == nil {
						err = c.Send(wsmanager.Text(repeat("x", 1000)))
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	awaitCondition(t, func() bool { return m.All().Len() == 4 })
	for c := range m.All().Local() {
		for range 4 {
			wg.Go(func() {
				for range 20 {
					rtt, err := c.Ping(t.Context())
					if err != nil || rtt <= 0 {
						t.Error(rtt, err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	for c := range m.All().Local() {
		require.Positive(t, c.Latency())
	}
	require.Equal(t, 4, m.All().Len())
}

// A client that wstest makes answers pings while it reads.
func TestPingOfAReadingClient(t *testing.T) { onEachDriverAtOnce(t, testPingOfAReadingClient) }

func testPingOfAReadingClient(t *testing.T) {
	m, url := serve(t, wsmanager.Callbacks{}, optionsWithoutLog(), nil)
	c := dialOver(t, url, http.Header{})
	awaitCondition(t, func() bool { return m.All().Len() == 1 })
	conn := onlyConn(t, m)
	go func() {
		_, err := conn.Ping(t.Context())
		_ = conn.Send(wsmanager.Text(errText(err)))
	}()
	c.ExpectText("no error")
}

func errText(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}
