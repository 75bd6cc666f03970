package wsmanager_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// pipeWriter is a response writer whose connection is one end of a net.Pipe.
type pipeWriter struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

func (w pipeWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.conn, bufio.NewReadWriter(bufio.NewReader(w.conn), bufio.NewWriter(w.conn)), nil
}

// pipe connects a client to m without a socket, so that time in a synctest
// bubble goes by as soon as all wait. Nothing that is written is buffered.
func pipe(t *testing.T, m *wsmanager.Manager) net.Conn {
	t.Helper()
	client, server := net.Pipe()
	r := wstest.Request(t, "http://example.com")
	w := pipeWriter{httptest.NewRecorder(), server}
	m.ServeHTTP(w, r)
	require.Equal(t, http.StatusSwitchingProtocols, w.Code)
	return client
}

// next reads a frame and tells when it came.
func next(t *testing.T, c net.Conn, start time.Time) (ws.OpCode, time.Duration) {
	t.Helper()
	h, err := ws.ReadHeader(c)
	require.NoError(t, err)
	_, err = io.CopyN(io.Discard, c, h.Length)
	require.NoError(t, err)
	return h.OpCode, time.Since(start)
}

func TestPingsAndIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		cb := wsmanager.Callbacks{OnClose: func(_ *wsmanager.Conn, err error) { j.note("%v %v", errors.Is(err, wsmanager.ErrIdleTimeout), err) }}
		m := wsmanager.MustNew(cb, quiet())
		start := time.Now()
		c := pipe(t, m)
		// A ping about every 50 s; the peer is there as long as it answers.
		last := time.Duration(0)
		for range 10 {
			op, at := next(t, c, start)
			require.Equal(t, ws.OpPing, op)
			require.InDelta(t, 50, (at - last).Seconds(), 5+2, "give or take 10 % and the wheel's tick")
			last = at
			_, err := c.Write(wstest.Frame(ws.OpPong, true, nil))
			require.NoError(t, err)
		}
		// Then it answers no more: 110 s after the last sign of life it is over.
		pings := 0
		op, at := next(t, c, start)
		for ; op == ws.OpPing; op, at = next(t, c, start) {
			pings++
		}
		require.Equal(t, ws.OpClose, op)
		require.Contains(t, []int{1, 2}, pings, "by the jitter")
		require.InDelta(t, 110, (at - last).Seconds(), 2)
		synctest.Wait()
		require.Equal(t, []string{"true wsmanager: closed here with 1001: wsmanager: nothing was received in time"}, j.all())
		require.NoError(t, m.Shutdown(t.Context()))
	})
}

// Data counts as a sign of life as well as pongs do.
func TestDataKeepsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wsmanager.MustNew(wsmanager.Callbacks{}, quiet())
		c := pipe(t, m)
		go func() { _, _ = io.Copy(io.Discard, c) }()
		for range 20 {
			time.Sleep(100 * time.Second)
			_, err := c.Write(wstest.Frame(ws.OpText, true, []byte("x")))
			require.NoError(t, err)
		}
		require.Equal(t, 1, m.Len())
		_ = c.Close()
		synctest.Wait()
		require.Zero(t, m.Len())
	})
}

// A callback that takes its time is none of the peer's doing: not even an OnConnect
// that takes longer than IdleTimeout, during which nothing at all is read.
func TestIdleTimeCountsFromTheEndOfOnConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wsmanager.MustNew(wsmanager.Callbacks{
			OnConnect: func(*wsmanager.Conn) error { time.Sleep(10 * time.Minute); return nil },
		}, quiet())
		start := time.Now()
		c := pipe(t, m)
		pongs := make(chan []byte, 100)
		go func() {
			for p := range pongs {
				_, _ = c.Write(p) // nobody reads before OnConnect has returned
			}
		}()
		pings := 0
		for at := time.Duration(0); at < 12*time.Minute; pings++ {
			var op ws.OpCode
			op, at = next(t, c, start)
			require.Equal(t, ws.OpPing, op)
			pongs <- wstest.Frame(ws.OpPong, true, nil)
		}
		require.GreaterOrEqual(t, pings, 12, "also while the callback ran")
		close(pongs)
		_ = c.Close()
		synctest.Wait()
		require.Zero(t, m.Len())
	})
}

// The silence of a peer is measured from the end of the callback that kept it from
// being heard.
func TestIdleTimeCountsFromTheEndOfOnMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var after time.Duration
		start := time.Now()
		m := wsmanager.MustNew(wsmanager.Callbacks{
			OnMessage: func(*wsmanager.Conn, wsmanager.Message) error { time.Sleep(99 * time.Second); return nil },
			OnClose:   func(*wsmanager.Conn, error) { after = time.Since(start) },
		}, quiet())
		c := pipe(t, m)
		go func() { _, _ = io.Copy(io.Discard, c) }()
		_, err := c.Write(wstest.Frame(ws.OpText, true, nil))
		require.NoError(t, err)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.InDelta(t, 99+110, after.Seconds(), 2)
	})
}

// A write that makes no progress is cut after the write time-out.
func TestWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got error
		var after time.Duration
		start := time.Now()
		m := wsmanager.MustNew(wsmanager.Callbacks{OnClose: func(_ *wsmanager.Conn, err error) { got, after = err, time.Since(start) }}, quiet())
		c := pipe(t, m)
		time.Sleep(time.Second)
		m.Broadcast(wsmanager.Text("nobody reads this"))
		time.Sleep(time.Minute)
		synctest.Wait()
		require.ErrorIs(t, got, wsmanager.ErrWriteTimeout)
		require.InDelta(t, 11, after.Seconds(), 2)
		_, err := ws.ReadHeader(c)
		require.ErrorIs(t, err, io.EOF)
		require.NoError(t, m.Shutdown(t.Context()))
	})
}

// A slow peer is not cut as long as it reads something.
func TestSlowProgressIsProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wsmanager.MustNew(wsmanager.Callbacks{}, quiet())
		c := pipe(t, m)
		require.Equal(t, wsmanager.Sent{Queued: 1}, m.Broadcast(wsmanager.Binary(make([]byte, 1000<<10))))
		got := 0
		buf := make([]byte, 16<<10)
		for got < 1000<<10 {
			time.Sleep(time.Second) // a minute in all, 4 s for each chunk
			n, err := c.Read(buf)
			require.NoError(t, err)
			got += n
		}
		require.Equal(t, 1, m.Len())
		_ = c.Close()
		synctest.Wait()
	})
}

// A peer that does not answer a close frame is cut after the close time-out.
func TestCloseTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var after time.Duration
		var got error
		start := time.Now()
		m := wsmanager.MustNew(wsmanager.Callbacks{OnClose: func(_ *wsmanager.Conn, err error) { got, after = err, time.Since(start) }}, quiet())
		c := pipe(t, m)
		require.NoError(t, only(t, m).Close(4000, "bye"))
		op, _ := next(t, c, start)
		require.Equal(t, ws.OpClose, op)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.ErrorContains(t, got, "4000")
		require.InDelta(t, 5, after.Seconds(), 2)
		_, err := ws.ReadHeader(c)
		require.ErrorIs(t, err, io.EOF)
	})
}

// A peer that was failed and goes on sending is read to the end, but not for
// ever.
func TestLingerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		j := newJournal()
		m := wsmanager.MustNew(wsmanager.Callbacks{OnClose: func(*wsmanager.Conn, error) { j.note("%v", time.Since(start)) }}, quiet())
		c := halfClosing{pipe(t, m)}
		go func() { _, _ = io.Copy(io.Discard, c) }()
		_, err := c.Write([]byte{0xff, 0xff})
		require.NoError(t, err)
		for err == nil {
			_, err = c.Write(make([]byte, 100))
			time.Sleep(100 * time.Millisecond)
		}
		require.LessOrEqual(t, time.Since(start), 7*time.Second)
		require.Equal(t, []string{"0s"}, j.all(), "OnClose did not wait for it")
		require.NoError(t, m.Shutdown(t.Context()))
	})
}

// A peer that was failed for its silence gets no message more, and OnClose does
// not wait for it.
func TestIdleTimeoutDropsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := quiet()
		opts.WriteTimeout, opts.CloseTimeout = time.Hour, time.Hour
		start := time.Now()
		j := newJournal()
		m := wsmanager.MustNew(wsmanager.Callbacks{OnClose: func(*wsmanager.Conn, error) { j.note("%.0f", time.Since(start).Minutes()) }}, opts)
		c := pipe(t, m) // reads nothing
		m.Broadcast(wsmanager.Text("under way"))
		synctest.Wait()
		m.Broadcast(wsmanager.Text("waits"))
		time.Sleep(10 * time.Minute)
		require.Equal(t, []string{"2"}, j.all())
		require.EqualValues(t, 1, m.Stats().Dropped.Closed)
		_ = c.Close()
		synctest.Wait()
		require.EqualValues(t, 2, m.Stats().Dropped.Closed)
	})
}

// Pings of connections that came together don't go out together for ever.
func TestPingsSpreadOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := quiet()
		opts.PingInterval, opts.IdleTimeout = 1000*time.Second, 2000*time.Second
		m := wsmanager.MustNew(wsmanager.Callbacks{}, opts)
		const n = 50
		at := make(chan time.Duration, n)
		start := time.Now()
		for range n {
			c := pipe(t, m)
			go func() {
				var first time.Duration
				if _, err := ws.ReadHeader(c); err == nil {
					first = time.Since(start)
				}
				at <- first
				_ = c.Close()
			}()
		}
		lo, hi := time.Hour, time.Duration(0)
		for range n {
			d := <-at
			lo, hi = min(lo, d), max(hi, d)
		}
		synctest.Wait()
		require.GreaterOrEqual(t, lo, 900*time.Second)
		require.LessOrEqual(t, hi, 1102*time.Second)
		require.Greater(t, hi-lo, 100*time.Second, "by chance: half of the range of 200 s, of 50")
	})
}

type halfClosing struct{ net.Conn }

// Shutdown waits for peers that answer, and for no others longer than the close
// time-out.
func TestShutdownIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wsmanager.MustNew(wsmanager.Callbacks{}, quiet())
		for range 10 {
			c := pipe(t, m)
			go func() { _, _ = io.Copy(io.Discard, c) }()
		}
		start := time.Now()
		require.NoError(t, m.Shutdown(t.Context()))
		require.InDelta(t, 5, time.Since(start).Seconds(), 2)
		require.Zero(t, m.Len())
	})
}
