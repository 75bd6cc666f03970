package wsmanager_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// startProxy starts a proxy in front of a server.
func startProxy(t *testing.T, url string) *wstest.Proxy {
	t.Helper()
	p, err := wstest.ListenProxy(url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// harmlessFaults are faults that only change when bytes arrive and how they are split.
var harmlessFaults = map[string]wstest.Fault{
	"delay":        {Delay: 3 * time.Millisecond},
	"single bytes": {Piece: 1},
	"small pieces": {Piece: 7},
	"coalescing":   {Coalesce: 3 * time.Millisecond},
	"throttle":     {Rate: 2_000_000},
}

// The delivery of bytes in any pieces and with any delay leads to the same messages in the
// same order and to the same close, for our server and our client.
func TestFaultsThatHarmNobody(t *testing.T) { onSocketDrivers(t, testFaultsThatHarmNobody) }

func testFaultsThatHarmNobody(t *testing.T) {
	for name, f := range harmlessFaults {
		for _, way := range []string{"up", "down", "both"} {
			t.Run(name+" "+way, func(t *testing.T) {
				t.Parallel()
				j := newJournal()
				opts := optionsWithoutLog()
				opts.Compression.Enabled = true
				m, url := serve(t, wsmanager.Callbacks{
					OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
						return c.SendContext(c.Context(), m)
					},
					OnClose: func(_ *wsmanager.Conn, err error) { j.note("%v", err) },
				}, opts, nil)
				p := startProxy(t, url)
				if way != "down" {
					p.Up(f)
				}
				if way != "up" {
					p.Down(f)
				}
				sizes := []int{0, 1, 125, 126, 4000, 20_000, 3}
				got, ended := make(chan int, len(sizes)), make(chan error, 1)
				dopts := dialOptionsWithoutLog()
				dopts.Compression.Enabled = true
				c, err := dialAs(t.Context(), t, p.URL(), wsmanager.Callbacks{
					OnMessage: func(_ *wsmanager.Conn, m wsmanager.Message) error {
						if strings.Trim(string(m.Payload), "x") != "" {
							return errors.New("unexpected payload")
						}
						got <- len(m.Payload)
						return nil
					},
					OnClose: func(_ *wsmanager.Conn, err error) { ended <- err },
				}, dopts)
				require.NoError(t, err)
				for i, size := range sizes {
					msg := wsmanager.Text(repeat("x", size))
					msg.NoCompression = i%2 == 0
					require.NoError(t, c.SendContext(t.Context(), msg))
				}
				for _, size := range sizes {
					require.Equal(t, size, receive(t, got))
				}
				require.NoError(t, c.Close(1000, "thanks"))
				require.NoError(t, receive(t, ended))
				require.Equal(t, []string{"<nil>"}, j.await(t, 1))
				require.NoError(t, m.Shutdown(t.Context()))
			})
		}
	}
}

// fault is a network failure of a healthy connection, with its effect at one of its two ends.
type fault struct {
	name   string
	do     func(p *wstest.Proxy)
	action func(c *wsmanager.Conn) // run at our end after the fault; nil: none
	code   wsmanager.StatusCode    // of the error passed to OnClose
	is     error
	by     string // "peer" if the other side or the network ended it
}

// faultsAt returns the faults seen from one end of a connection: in changes the bytes that
// this end receives, out those that it sends.
func faultsAt(in, out func(*wstest.Proxy, wstest.Fault)) []fault {
	sends := func(c *wsmanager.Conn) {
		go func() { // until the connection has ended
			for c.Send(wsmanager.Binary(make([]byte, 60_000))) == nil {
				time.Sleep(time.Millisecond)
			}
		}()
	}
	closes := func(c *wsmanager.Conn) { _ = c.Close(4000, "enough") }
	return []fault{
		{"reset", (*wstest.Proxy).Reset, nil, 1006, nil, "peer"},
		{"reset while sending", (*wstest.Proxy).Reset, sends, 1006, nil, "peer"},
		{"half-close of the input", func(p *wstest.Proxy) { in(p, wstest.Fault{Cut: wstest.CutHalfClose}) }, nil, 1006, io.ErrUnexpectedEOF, "peer"},
		{"reset in the middle of the output", func(p *wstest.Proxy) { out(p, wstest.Fault{Cut: wstest.CutReset, After: 100_000}) }, sends, 1006, nil, "peer"},
		{"black hole in the input", func(p *wstest.Proxy) { in(p, wstest.Fault{Cut: wstest.CutBlackhole}) }, nil, 1001, wsmanager.ErrIdleTimeout, "here"},
		{"black hole in the output", func(p *wstest.Proxy) { out(p, wstest.Fault{Cut: wstest.CutBlackhole}) }, nil, 1001, wsmanager.ErrIdleTimeout, "here"},
		{"black hole in both directions", func(p *wstest.Proxy) {
			in(p, wstest.Fault{Cut: wstest.CutBlackhole})
			out(p, wstest.Fault{Cut: wstest.CutBlackhole})
		}, nil, 1001, wsmanager.ErrIdleTimeout, "here"},
		{"stalled output while sending", func(p *wstest.Proxy) { out(p, wstest.Fault{Cut: wstest.CutStall}) }, sends, 1013, wsmanager.ErrSlowConsumer, "here"},
		{"throttled output while sending", func(p *wstest.Proxy) { out(p, wstest.Fault{Rate: 20_000}) }, sends, 1013, wsmanager.ErrSlowConsumer, "here"},
		{"black hole in the input while closing", func(p *wstest.Proxy) { in(p, wstest.Fault{Cut: wstest.CutBlackhole}) }, closes, 4000, nil, "here"},
		{"black hole in the output while closing", func(p *wstest.Proxy) { out(p, wstest.Fault{Cut: wstest.CutBlackhole}) }, closes, 4000, nil, "here"},
		{"stalled output while closing", func(p *wstest.Proxy) { out(p, wstest.Fault{Cut: wstest.CutStall}) }, closes, 4000, nil, "here"},
		{"half-close of the input while closing", func(p *wstest.Proxy) { in(p, wstest.Fault{Cut: wstest.CutHalfClose}) }, func(c *wsmanager.Conn) { closes(c) }, 0, nil, ""},
		{"reset inside its close frame", func(p *wstest.Proxy) { out(p, wstest.Fault{Cut: wstest.CutReset}) }, closes, 0, nil, ""},
	}
}

// options returns short timeouts if only a timeout detects the fault, and the usual ones
// otherwise.
func (f *fault) options() wsmanager.Options {
	opts := optionsWithoutLog()
	opts.Outbox.Messages, opts.Timeouts.Close = 32, 150*time.Millisecond
	if f.is == wsmanager.ErrIdleTimeout {
		opts.Timeouts.PingInterval, opts.Timeouts.Idle = 100*time.Millisecond, 300*time.Millisecond
	}
	return opts
}

// check compares the error passed to OnClose with the expected outcome of the fault. Code 0
// means that the outcome depends on a race.
func (f *fault) check(t *testing.T, err error) {
	t.Helper()
	if f.code == 0 {
		return
	}
	var ce *wsmanager.CloseError
	require.ErrorAs(t, err, &ce)
	require.Equal(t, f.code, ce.Code, "%v", err)
	require.Equal(t, f.by == "peer", ce.Remote, "%v", err)
	if f.is != nil {
		require.ErrorIs(t, err, f.is)
	}
}

// closeRecorder provides callbacks that record the beginning and the end of one connection.
type closeRecorder struct {
	connected chan *wsmanager.Conn
	closed    chan error
	closes    atomic.Int32
}

func newCloseRecorder() *closeRecorder {
	return &closeRecorder{connected: make(chan *wsmanager.Conn, 1), closed: make(chan error, 10)}
}

func (e *closeRecorder) callbacks() wsmanager.Callbacks {
	return wsmanager.Callbacks{
		OnConnect: func(c *wsmanager.Conn) error { e.connected <- c; return nil },
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			if string(m.Payload) == "echo" {
				return c.Send(m)
			}
			return nil
		},
		OnClose: func(_ *wsmanager.Conn, err error) { e.closes.Add(1); e.closed <- err },
	}
}

// Every fault ends a server connection exactly once with the expected code and error, and
// nothing of it remains.
func TestFaultsOfAServersConnection(t *testing.T) {
	onEachDriverAtOnce(t, testFaultsOfAServersConnection)
}

func testFaultsOfAServersConnection(t *testing.T) {
	needH1(t, "a fault of the TCP connection affects all its streams and is detected by net/http")
	for _, f := range faultsAt((*wstest.Proxy).Up, (*wstest.Proxy).Down) {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel() // mostly waits
			e := newCloseRecorder()
			m, url := serve(t, e.callbacks(), f.options(), nil)
			p := startProxy(t, url)
			c := dialOver(t, p.URL(), nil)
			conn := receive(t, e.connected)
			go func() { // the client answers pings and close frames as far as the fault permits
				for {
					fr, err := ws.ReadFrame(c.Conn()) //nolint:staticcheck // the frames come from our own server
					if err != nil {
						return
					}
					switch fr.Header.OpCode {
					case ws.OpPing:
						_, _ = c.Conn().Write(wstest.Frame(ws.OpPong, true, fr.Payload))
					case ws.OpClose:
						_, _ = c.Conn().Write(wstest.Frame(ws.OpClose, true, fr.Payload))
					}
				}
			}()
			f.do(p)
			if f.action != nil {
				f.action(conn)
			}
			f.check(t, receive(t, e.closed))
			ctx, cancel := context.WithTimeout(t.Context(), wstest.Patience)
			defer cancel()
			require.NoError(t, m.Shutdown(ctx), "a connection that the peer does not end is cut after Timeouts.Close")
			require.EqualValues(t, 1, e.closes.Load(), "number of OnClose calls")
			total := uint64(0)
			for _, n := range m.Stats().Closed {
				total += n
			}
			require.EqualValues(t, 1, total)
		})
	}
}

// The same faults end a dialled connection in the same way.
func TestFaultsOfADialledConnection(t *testing.T) {
	onSocketDriversAtOnce(t, testFaultsOfADialledConnection)
}

func testFaultsOfADialledConnection(t *testing.T) {
	for _, f := range faultsAt((*wstest.Proxy).Down, (*wstest.Proxy).Up) {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel() // mostly waits
			sopts := optionsWithoutLog()
			sopts.Timeouts.Close = 100 * time.Millisecond
			_, url := serve(t, wsmanager.Callbacks{}, sopts, nil)
			p := startProxy(t, url)
			e := newCloseRecorder()
			opts := dialOptions(f.options())
			c, err := dialAs(t.Context(), t, p.URL(), e.callbacks(), opts)
			require.NoError(t, err)
			f.do(p)
			if f.action != nil {
				f.action(c)
			}
			f.check(t, receive(t, e.closed))
			ctx, cancel := context.WithTimeout(t.Context(), wstest.Patience)
			defer cancel()
			require.NoError(t, c.Manager().Shutdown(ctx))
			require.EqualValues(t, 1, e.closes.Load(), "number of OnClose calls")
		})
	}
}

// A handshake can fail after any byte. Then either both sides or neither have a connection,
// except that the server may have one that the client never learned of. That connection ends
// like any other.
func TestFaultsInAHandshake(t *testing.T) { onSocketDriversAtOnce(t, testFaultsInAHandshake) }

func testFaultsInAHandshake(t *testing.T) {
	for _, cut := range []wstest.Cut{wstest.CutReset, wstest.CutHalfClose, wstest.CutBlackhole} {
		for _, way := range []string{"up", "down"} {
			for _, after := range []int64{0, 1, 20, 100, 130} { // the response has 129 bytes
				if cut == wstest.CutBlackhole && after%100 != 0 {
					continue // the other offsets behave in the same way and are slow
				}
				t.Run(fmt.Sprintf("cut %d %s after %d", cut, way, after), func(t *testing.T) {
					t.Parallel() // mostly waits
					var connects, closes atomic.Int32
					sopts := optionsWithoutLog()
					sopts.Timeouts.Close = 100 * time.Millisecond
					m, url := serve(t, wsmanager.Callbacks{
						OnConnect: func(*wsmanager.Conn) error { connects.Add(1); return nil },
						OnClose:   func(*wsmanager.Conn, error) { closes.Add(1) },
					}, sopts, func(m *wsmanager.Manager) http.Handler { return m })
					p := startProxy(t, url)
					if way == "up" {
						p.Up(wstest.Fault{Cut: cut, After: after})
					} else {
						p.Down(wstest.Fault{Cut: cut, After: after})
					}
					e := newCloseRecorder()
					opts := dialOptionsWithoutLog()
					if cut == wstest.CutBlackhole {
						opts.Timeouts.Handshake, opts.Timeouts.PingInterval, opts.Timeouts.Idle = 200*time.Millisecond, 50*time.Millisecond, 200*time.Millisecond
					}
					c, err := dialAs(t.Context(), t, p.URL(), e.callbacks(), opts)
					if err == nil { // the handshake succeeded
						require.EqualValues(t, 130, after, "the handshake succeeded although it was cut")
						var ce *wsmanager.CloseError
						require.ErrorAs(t, receive(t, e.closed), &ce)
						require.NoError(t, c.Manager().Shutdown(t.Context()))
					} else if cut == wstest.CutBlackhole {
						require.ErrorContains(t, err, "Timeouts.Handshake")
					}
					p.Reset()
					require.Eventually(t, func() bool { return m.All().Len() == 0 && connects.Load() == closes.Load() }, wstest.Patience, time.Millisecond)
					require.EqualValues(t, m.Stats().Accepted, connects.Load())
				})
			}
		}
	}
}

// With connections stuck in every way, Shutdown returns after Timeouts.Close, and no
// connection remains.
func TestShutdownAmongFaults(t *testing.T) { onEachDriverAtOnce(t, testShutdownAmongFaults) }

func testShutdownAmongFaults(t *testing.T) {
	stuck := []wstest.Fault{
		{Cut: wstest.CutStall}, {Cut: wstest.CutBlackhole}, {Rate: 10}, {Delay: time.Hour}, {Coalesce: time.Hour},
	}
	var closes atomic.Int32
	opts := optionsWithoutLog()
	opts.Timeouts.Close = 200 * time.Millisecond
	m, url := serve(t, wsmanager.Callbacks{OnClose: func(*wsmanager.Conn, error) { closes.Add(1) }}, opts, nil)
	for _, f := range stuck {
		for _, way := range []func(*wstest.Proxy, wstest.Fault){(*wstest.Proxy).Up, (*wstest.Proxy).Down} {
			p := startProxy(t, url)
			dialOver(t, p.URL(), nil)
			way(p, f)
		}
	}
	for range 20 {
		m.Broadcast(wsmanager.Binary(make([]byte, 60_000)))
	}
	ctx, cancel := context.WithTimeout(t.Context(), wstest.Patience)
	defer cancel()
	require.NoError(t, m.Shutdown(ctx))
	require.EqualValues(t, 2*len(stuck), closes.Load())
	require.Zero(t, m.All().Len())
}

// A Client whose network fails repeatedly delivers its messages in order and at most once.
// When the network works again, it delivers all of them.
func TestClientThroughFaults(t *testing.T) { onSocketDriversAtOnce(t, testClientThroughFaults) }

func testClientThroughFaults(t *testing.T) {
	var mu sync.Mutex
	var got []int
	last := make(chan struct{})
	sopts := optionsWithoutLog()
	sopts.Timeouts.Close = 100 * time.Millisecond
	_, url := serve(t, wsmanager.Callbacks{
		OnMessage: func(_ *wsmanager.Conn, m wsmanager.Message) error {
			var n int
			if _, err := fmt.Sscan(string(m.Payload), &n); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if got = append(got, n); n < 0 {
				close(last)
			}
			return nil
		},
	}, sopts, nil)
	p := startProxy(t, url)
	opts := clientOptions(dialOptionsWithoutLog(), wsmanager.Reconnect{MinDelay: time.Millisecond, MaxDelay: 5 * time.Millisecond})
	opts.Timeouts.PingInterval, opts.Timeouts.Idle, opts.Timeouts.Handshake, opts.Timeouts.Close = 50*time.Millisecond, 300*time.Millisecond, 2*time.Second, 100*time.Millisecond
	cl, err := newClientAs(t, p.URL(), wsmanager.Callbacks{}, opts)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- cl.Run(t.Context()) }()
	awaitReconnect := func(n int) { // waits for a connection after the first n
		require.Eventually(t, func() bool { return cl.ConnectCount() > n }, wstest.Patience, time.Millisecond)
	}
	sent := 0
	for _, f := range []wstest.Fault{
		{Cut: wstest.CutReset, After: 5000}, {Cut: wstest.CutHalfClose, After: 3000}, {Piece: 1, Cut: wstest.CutReset, After: 1000},
		{Delay: time.Millisecond, Cut: wstest.CutReset, After: 7000}, {Cut: wstest.CutBlackhole, After: 4000},
	} {
		awaitReconnect(0)
		n := cl.ConnectCount()
		p.Up(f)
		for range 200 {
			sent++
			require.NoError(t, cl.SendContext(t.Context(), wsmanager.Text(fmt.Sprint(sent, repeat(" x", 50)))))
		}
		awaitReconnect(n) // the connection has failed
		n = cl.ConnectCount()
		p.Up(wstest.Fault{})
		p.Reset()
		awaitReconnect(n)
	}
	require.NoError(t, cl.SendContext(t.Context(), wsmanager.Text("-1")))
	receive(t, last)
	require.NoError(t, cl.Close(1000, ""))
	require.NoError(t, receive(t, done))
	mu.Lock()
	defer mu.Unlock()
	for i := 1; i < len(got)-1; i++ {
		require.Greater(t, got[i], got[i-1], "messages arrive in order and only once")
	}
}
