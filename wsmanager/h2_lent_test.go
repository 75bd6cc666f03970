package wsmanager_test

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// A read deadline that other middleware sets ends only the connection that it belongs to.
func TestStreamWithAForeignDeadline(t *testing.T) { onStreams(t, testStreamWithAForeignDeadline) }

func testStreamWithAForeignDeadline(t *testing.T) {
	j := newJournal()
	set := make(chan func() error, 1)
	_, url := serve(t, recordingCallbacks(j), optionsWithoutLog(), func(m *wsmanager.Manager) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			set <- func() error { return http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) }
			m.ServeHTTP(w, r)
		})
	})
	c := dialRaw(t, url)
	id := c.open()
	j.await(t, 1)
	require.NoError(t, (<-set)())
	require.True(t, c.end(id, true).Clean)
	require.Equal(t, "close: wsmanager: closed by the peer with 1006: the read was interrupted", j.await(t, 2)[1])
}

// lentWriter wraps net/http's writer and counts uses after the handler has returned.
type lentWriter struct {
	w        http.ResponseWriter
	returned atomic.Bool
	late     *atomic.Int64
}

func (l *lentWriter) check() {
	if l.returned.Load() {
		l.late.Add(1)
	}
}
func (l *lentWriter) Header() http.Header         { l.check(); return l.w.Header() }
func (l *lentWriter) WriteHeader(status int)      { l.check(); l.w.WriteHeader(status) }
func (l *lentWriter) Write(p []byte) (int, error) { l.check(); defer l.check(); return l.w.Write(p) }
func (l *lentWriter) FlushError() error {
	l.check()
	defer l.check()
	return http.NewResponseController(l.w).Flush()
}
func (l *lentWriter) SetReadDeadline(at time.Time) error {
	l.check()
	defer l.check()
	return http.NewResponseController(l.w).SetReadDeadline(at)
}
func (l *lentWriter) SetWriteDeadline(at time.Time) error {
	l.check()
	defer l.check()
	return http.NewResponseController(l.w).SetWriteDeadline(at)
}

// After the handler has returned, the stream's writer is never used, however the stream ends
// and during concurrent sends: it may belong to another request by then.
func TestNothingIsWrittenAfterTheHandlerReturned(t *testing.T) {
	onStreams(t, testNothingIsWrittenAfterTheHandlerReturned)
}

func testNothingIsWrittenAfterTheHandlerReturned(t *testing.T) {
	var late atomic.Int64
	opts := optionsWithoutLog()
	opts.Timeouts.Close, opts.Timeouts.Write = 20*time.Millisecond, 20*time.Millisecond
	m, url := serve(t, wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) },
		OnClose:   func(c *wsmanager.Conn, _ error) { _ = c.Send(wsmanager.Text("too late")) },
	}, opts, func(m *wsmanager.Manager) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			l := &lentWriter{w: w, late: &late}
			defer l.returned.Store(true)
			m.ServeHTTP(l, r)
		})
	})
	stop := make(chan struct{})
	var senders sync.WaitGroup
	for range 2 {
		senders.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Microsecond): // leaves CPU time to the other goroutines
					m.Broadcast(wsmanager.Text(repeat("x", 5000)))
				}
			}
		})
	}
	for round := range 20 {
		c := dialRaw(t, url)
		accepted := m.Stats().Accepted
		var streams []uint32
		for range 10 {
			streams = append(streams, c.ask("/", false))
		}
		go func() { _, _ = io.Copy(io.Discard, c.conn) }() // reads without window updates, so the windows are exhausted
		require.Eventually(t, func() bool { return m.Stats().Accepted >= accepted+5 }, wstest.Patience, time.Millisecond)
		for i, id := range streams {
			switch (i + round) % 5 {
			case 0:
				require.NoError(t, c.fr.WriteRSTStream(id, http2.ErrCodeCancel))
			case 1:
				c.data(id, wstest.Frame(ws.OpClose, true, nil), true)
			case 2:
				c.data(id, []byte{0xff, 0xff}, false)
			case 3:
				for conn := range m.All().Local() {
					_ = conn.Close(4000, "")
					break
				}
			}
		}
		if round%2 == 0 {
			require.NoError(t, c.conn.Close())
		}
	}
	close(stop)
	senders.Wait()
	require.NoError(t, m.Shutdown(t.Context()))
	require.Zero(t, late.Load())
	require.Zero(t, m.All().Len())
}
