package wsmanager_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// dialInMemory connects to h without a socket. In a synctest bubble, time then advances whenever
// all goroutines block. The buffer is tiny, so that a client that does not read blocks the
// server's writes immediately.
func dialInMemory(t *testing.T, h http.Handler) *wstest.Client {
	t.Helper()
	return wstest.DialHandler(t, h, "/", nil, wstest.Memory{Buffer: 64, Patience: 1000 * time.Hour})
}

func TestPingsAndIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		cb := wsmanager.Callbacks{OnClose: func(_ *wsmanager.Conn, err error) { j.note("%v %v", errors.Is(err, wsmanager.ErrIdleTimeout), err) }}
		m := wsmanager.MustNew(cb, optionsWithoutLog())
		c := dialInMemory(t, m)
		// A ping is due about every 50 s. The connection stays open as long as the peer
		// answers.
		last := time.Now()
		for range 10 {
			require.Empty(t, c.ExpectPing())
			require.InDelta(t, 50, time.Since(last).Seconds(), 5+2, "10 % jitter and the wheel's tick")
			last = time.Now()
			c.SendPong(nil)
		}
		// Without answers, the connection is closed 110 s after the last received byte.
		pings := 0
		f, err := c.ReadFrame()
		for ; err == nil && f.Header.OpCode == ws.OpPing; f, err = c.ReadFrame() {
			pings++
		}
		require.NoError(t, err)
		require.Equal(t, ws.OpClose, f.Header.OpCode)
		code, _ := ws.ParseCloseFrameData(f.Payload)
		require.EqualValues(t, 1001, code)
		require.Contains(t, []int{1, 2}, pings, "the number depends on the jitter")
		require.InDelta(t, 110, time.Since(last).Seconds(), 2)
		synctest.Wait()
		require.Equal(t, []string{"true wsmanager: closed here with 1001: nothing was received in time"}, j.all())
		require.NoError(t, m.Shutdown(t.Context()))
	})
}

// Connections that were opened together do not ping together: the intervals are between 90 and
// 110 % of PingInterval, evenly distributed.
func TestPingsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients, rounds = 40, 25
		opts := optionsWithoutLog()
		opts.Timeouts.PingInterval, opts.Timeouts.Idle = 100*time.Second, time.Hour
		m := wsmanager.MustNew(wsmanager.Callbacks{}, opts)
		gaps := make(chan time.Duration, clients*rounds)
		for range clients {
			c := dialInMemory(t, m)
			go func() {
				last := time.Now()
				for range rounds {
					if h, err := ws.ReadHeader(c.Conn()); err != nil || h.OpCode != ws.OpPing { // on its own goroutine
						t.Errorf("got %v %v", h, err)
					}
					gaps <- time.Since(last)
					last = time.Now()
				}
			}()
		}
		var got []time.Duration
		for range clients * rounds {
			got = append(got, <-gaps)
		}
		slices.Sort(got)
		tick := time.Second + time.Second // the rounding of the wheel, before and after
		require.GreaterOrEqual(t, got[0], 90*time.Second-tick)
		require.LessOrEqual(t, got[len(got)-1], 110*time.Second+tick)
		for i, want := range []float64{92, 96, 100, 104, 108} { // evenly distributed
			require.InDelta(t, want, got[len(got)*(2*i+1)/10].Seconds(), 2.5)
		}
	})
}

// Data keeps a connection alive like pongs do.
func TestDataKeepsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wsmanager.MustNew(wsmanager.Callbacks{}, optionsWithoutLog())
		c := dialInMemory(t, m)
		go func() { _, _ = io.Copy(io.Discard, c.Conn()) }()
		for range 20 {
			time.Sleep(100 * time.Second)
			c.SendText("x")
		}
		require.Equal(t, 1, m.All().Len())
		c.Kill()
		synctest.Wait()
		require.Zero(t, m.All().Len())
	})
}

// A slow callback does not count as silence of the peer: a peer that answers pings stays open,
// however long OnConnect runs.
func TestLongOnConnectIsNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan time.Time, 1)
		m := wsmanager.MustNew(wsmanager.Callbacks{
			OnConnect: func(c *wsmanager.Conn) error {
				time.Sleep(10 * time.Minute)
				require.NoError(t, c.Context().Err())
				return nil
			},
			OnClose: func(*wsmanager.Conn, error) { ended <- time.Now() },
		}, optionsWithoutLog())
		start := time.Now()
		c := dialInMemory(t, m)
		for time.Since(start) < 12*time.Minute {
			c.ExpectPing()
			c.SendPong(nil)
		}
		require.Equal(t, 1, m.All().Len())
		require.NoError(t, c.Conn().Close())
		synctest.Wait()
		require.Zero(t, m.All().Len())
		require.Greater(t, (<-ended).Sub(start), 12*time.Minute)
	})
}

// The idle timeout also applies while a callback runs: the callback's Context ends, and
// OnClose runs after the callback.
func TestIdleTimeoutWhileACallbackRuns(t *testing.T) {
	for _, in := range []string{"OnConnect", "OnMessage"} {
		t.Run(in, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := newJournal()
				start := time.Now()
				long := func(where string, c *wsmanager.Conn) {
					if where != in {
						return
					}
					<-c.Context().Done()
					require.ErrorIs(t, context.Cause(c.Context()), wsmanager.ErrIdleTimeout)
					require.InDelta(t, 110, time.Since(start).Seconds(), 2)
					time.Sleep(10*time.Minute - time.Since(start))
					j.note("returned")
				}
				m := wsmanager.MustNew(wsmanager.Callbacks{
					OnConnect: func(c *wsmanager.Conn) error { long("OnConnect", c); return nil },
					OnMessage: func(c *wsmanager.Conn, _ wsmanager.Message) error { long("OnMessage", c); return nil },
					OnClose: func(_ *wsmanager.Conn, err error) {
						j.note("closed after %v: %v", time.Since(start), errors.Is(err, wsmanager.ErrIdleTimeout))
					},
				}, optionsWithoutLog())
				c := dialInMemory(t, m)
				go func() { _, _ = io.Copy(io.Discard, c.Conn()) }()
				if in == "OnMessage" {
					c.SendText("x")
				}
				time.Sleep(20 * time.Minute)
				synctest.Wait()
				require.Equal(t, []string{"returned", "closed after 10m0s: true"}, j.all())
			})
		})
	}
}

// Reading stops while a callback runs and the queue of received messages is full. The idle
// timeout is measured from the moment when reading continues.
func TestIdleTimeCountsWhileReadingGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const long = 20 * time.Minute
		var calls []time.Duration
		var after time.Duration
		start := time.Now()
		opts := optionsWithoutLog()
		opts.Limits.MaxMessageSize = 1000
		m := wsmanager.MustNew(wsmanager.Callbacks{
			OnMessage: func(c *wsmanager.Conn, _ wsmanager.Message) error {
				if calls = append(calls, time.Since(start)); len(calls) == 1 {
					time.Sleep(long)
				}
				return c.Context().Err()
			},
			OnClose: func(*wsmanager.Conn, error) { after = time.Since(start) },
		}, opts)
		c := dialInMemory(t, m)
		go func() { _, _ = io.Copy(io.Discard, c.Conn()) }()
		for range 5 {
			c.SendText(repeat("x", 600)) // one is queued in addition to the one being handled
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Len(t, calls, 5)
		require.Equal(t, []time.Duration{0, long, long, long, long}, calls)
		require.InDelta(t, (long + 110*time.Second).Seconds(), after.Seconds(), 2)
	})
}

// Each byte of a partly received message counts as activity: a slow client is not idle.
func TestPartsOfAMessageKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		m := wsmanager.MustNew(recordingCallbacks(j), optionsWithoutLog())
		c := dialInMemory(t, m)
		for _, b := range wstest.Frame(ws.OpText, true, []byte("slowly")) {
			time.Sleep(100 * time.Second)
			c.SendRaw([]byte{b})
		}
		c.ExpectText("slowly")
		require.Equal(t, []string{"connect", `text "slowly"`}, j.all())
		c.SendClose(1000, "")
		c.ExpectClose(1000)
	})
}

// A connection whose write makes no progress is cut after the write timeout.
func TestWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got error
		var after time.Duration
		start := time.Now()
		m := wsmanager.MustNew(wsmanager.Callbacks{OnClose: func(_ *wsmanager.Conn, err error) { got, after = err, time.Since(start) }}, optionsWithoutLog())
		c := dialInMemory(t, m)
		time.Sleep(time.Second)
		m.Broadcast(wsmanager.Text(repeat("this stays unread ", 100)))
		time.Sleep(time.Minute)
		synctest.Wait()
		require.ErrorIs(t, got, wsmanager.ErrWriteTimeout)
		require.InDelta(t, 11, after.Seconds(), 2)
		f, err := c.ReadFrame()
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "got %v", f.Header) // cut in the middle of a frame
		require.NoError(t, m.Shutdown(t.Context()))
		require.EqualValues(t, 1, m.Stats().Dropped.Closed)
	})
}

// A slow peer is not cut as long as it keeps reading.
func TestSlowProgressIsProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wsmanager.MustNew(wsmanager.Callbacks{}, optionsWithoutLog())
		c := dialInMemory(t, m)
		require.Equal(t, wsmanager.Sent{Queued: 1}, m.Broadcast(wsmanager.Binary(make([]byte, 992<<10))))
		buf := make([]byte, 16<<10)
		for got := 0; got < 992<<10; got += len(buf) {
			time.Sleep(time.Second) // one minute in total, 4 s for each chunk
			_, err := io.ReadFull(c.Conn(), buf)
			require.NoError(t, err)
		}
		require.Equal(t, 1, m.All().Len())
		c.Kill()
		synctest.Wait()
	})
}

// A peer that does not answer a close frame is cut after the close timeout.
func TestCloseTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var after time.Duration
		var got error
		start := time.Now()
		m := wsmanager.MustNew(wsmanager.Callbacks{OnClose: func(_ *wsmanager.Conn, err error) { got, after = err, time.Since(start) }}, optionsWithoutLog())
		c := dialInMemory(t, m)
		require.NoError(t, onlyConn(t, m).Close(4000, "bye"))
		f, err := c.ReadFrame()
		require.NoError(t, err)
		require.Equal(t, ws.OpClose, f.Header.OpCode)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.ErrorContains(t, got, "4000")
		require.InDelta(t, 5, after.Seconds(), 2)
		c.ExpectEOF()
	})
}

// If a client does not read the answer to its handshake, the connection ends after
// Options.Timeouts.Handshake, before any callback.
func TestHandshakeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts, log := logged()
		j := newJournal()
		m := wsmanager.MustNew(recordingCallbacks(j), opts)
		ln := wstest.Listen(64) // less than the size of a 101
		srv := &http.Server{Handler: m}
		go func() { _ = srv.Serve(ln) }() // http.ErrServerClosed
		conn, err := ln.Dial()
		require.NoError(t, err)
		require.NoError(t, wstest.Request(t, "/").Write(conn))
		synctest.Wait()
		require.Equal(t, 1, m.All().Len(), "registered before the answer is written")
		time.Sleep(9 * time.Second)
		synctest.Wait()
		require.Equal(t, 1, m.All().Len())
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Zero(t, m.All().Len())
		require.Empty(t, j.all(), "no callback runs")
		require.Contains(t, log.record(t, 0)["err"], "i/o timeout")
		require.EqualValues(t, 1, m.Stats().Refused.BrokenOff)
		require.NoError(t, m.Shutdown(t.Context()))
		require.NoError(t, srv.Close())
	})
}

// The input of a failed connection is read and discarded, for a bounded time.
func TestLingerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		j := newJournal()
		m := wsmanager.MustNew(wsmanager.Callbacks{OnClose: func(*wsmanager.Conn, error) { j.note("%v", time.Since(start)) }}, optionsWithoutLog())
		c := dialInMemory(t, m)
		go func() { _, _ = io.Copy(io.Discard, c.Conn()) }()
		c.SendRaw([]byte{0xff, 0xff})
		var err error
		for err == nil {
			_, err = c.Conn().Write(make([]byte, 100))
			time.Sleep(100 * time.Millisecond)
		}
		require.LessOrEqual(t, time.Since(start), 7*time.Second)
		require.Equal(t, []string{"0s"}, j.all(), "OnClose runs without waiting for the peer")
		require.NoError(t, m.Shutdown(t.Context()))
	})
}

// After a failure, input is read until the peer closes. Closing the socket with unread bytes
// would cause a reset, which can discard the close frame.
func TestLingerReadsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := optionsWithoutLog()
		opts.Timeouts.Close = time.Hour
		m := wsmanager.MustNew(wsmanager.Callbacks{}, opts)
		c := dialInMemory(t, m)
		c.SendRaw([]byte{0xff, 0xff})
		synctest.Wait()
		require.Zero(t, m.All().Len())
		for range 10 {
			c.SendRaw(make([]byte, 60))
			synctest.Wait()
		}
		require.NoError(t, c.Conn().Close())
		require.NoError(t, m.Shutdown(t.Context()))
	})
}

// A connection that failed with the idle timeout sends no further message, and OnClose does
// not wait for the peer.
func TestIdleTimeoutDropsQueuedMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := optionsWithoutLog()
		opts.Timeouts.Write, opts.Timeouts.Close = time.Hour, time.Hour
		start := time.Now()
		j := newJournal()
		m := wsmanager.MustNew(wsmanager.Callbacks{OnClose: func(*wsmanager.Conn, error) { j.note("%.0f", time.Since(start).Minutes()) }}, opts)
		c := dialInMemory(t, m) // reads nothing
		m.Broadcast(wsmanager.Binary(make([]byte, 100)))
		synctest.Wait()
		m.Broadcast(wsmanager.Text("waits"))
		time.Sleep(10 * time.Minute)
		require.Equal(t, []string{"2"}, j.all())
		require.EqualValues(t, 1, m.Stats().Dropped.Closed)
		require.NoError(t, c.Conn().Close())
		synctest.Wait()
		require.EqualValues(t, 2, m.Stats().Dropped.Closed)
	})
}

// Shutdown waits for peers that answer, and for other peers until the close timeout.
func TestShutdownIsBounded(t *testing.T) {
	for name, opts := range map[string]wsmanager.Options{"": {}, "Block": {Block: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts.Logger = optionsWithoutLog().Logger
				m := wsmanager.MustNew(wsmanager.Callbacks{}, opts)
				for range 10 {
					c := dialInMemory(t, m)
					go func() { _, _ = io.Copy(io.Discard, c.Conn()) }()
				}
				start := time.Now()
				require.NoError(t, m.Shutdown(t.Context()))
				require.InDelta(t, 5, time.Since(start).Seconds(), 2)
				require.Zero(t, m.All().Len())
			})
		})
	}
}

// A peer that does not choose a protocol in time is closed, even if it answers pings.
func TestReadyTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		opts := optionsWithoutLog()
		opts.ReadyTimeout = 2 * time.Minute
		m := wsmanager.MustNew(wsmanager.Callbacks{
			OnAccept: func(r *http.Request) (wsmanager.Accept, error) { return wsmanager.Accept{Deferred: true}, nil },
			OnMessage: func(c *wsmanager.Conn, _ wsmanager.Message) error {
				return c.Ready(1)
			},
			OnClose: func(_ *wsmanager.Conn, err error) { j.note("%v", errors.Is(err, wsmanager.ErrNotReady)) },
		}, opts)
		began := time.Now()
		ready, never := dialInMemory(t, m), dialInMemory(t, m)
		ready.SendText("this one")
		for range 2 {
			for _, c := range []*wstest.Client{ready, never} {
				c.ExpectPing()
				c.SendPong(nil)
			}
		}
		require.Equal(t, "the protocol was not chosen in time", never.ExpectClose(1008))
		require.InDelta(t, 120, time.Since(began).Seconds(), 2)
		require.Equal(t, []string{"true"}, j.await(t, 1))
		require.Equal(t, wsmanager.Sent{Queued: 1}, m.Broadcast(wsmanager.Text("still here")))
		ready.ExpectText("still here")
		require.NoError(t, m.Shutdown(t.Context()))
	})
}
