package wsmanager_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// handshakeHook is a response writer that calls do immediately before the 101 is written, when
// the connection is registered and has no socket yet.
type handshakeHook struct {
	unwrapOnly
	do func()
}

func (w handshakeHook) WriteHeader(code int) { w.do(); w.unwrapOnly.WriteHeader(code) }

// duringTheHandshake serves a Manager whose close timeout never expires during the test.
func duringTheHandshake(t *testing.T, j *journal, do func(m *wsmanager.Manager)) (*wsmanager.Manager, string) {
	opts := optionsWithoutLog()
	opts.Outbox.Messages, opts.Timeouts.Close = 2, time.Hour
	return serve(t, wsmanager.Callbacks{
		OnConnect: func(*wsmanager.Conn) error { j.note("connect"); return nil },
		OnClose:   func(_ *wsmanager.Conn, err error) { j.note("close: %v", err) },
	}, opts, func(m *wsmanager.Manager) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			m.ServeHTTP(handshakeHook{unwrapOnly{w}, func() { do(m) }}, r)
		})
	})
}

// Messages that are sent while the 101 is written arrive after it, and Close closes the
// connection.
func TestSentAndClosedDuringTheHandshake(t *testing.T) {
	onEachDriver(t, testSentAndClosedDuringTheHandshake)
}

func testSentAndClosedDuringTheHandshake(t *testing.T) {
	j := newJournal()
	_, url := duringTheHandshake(t, j, func(m *wsmanager.Manager) {
		for c := range m.All().Local() {
			_ = c.Send(wsmanager.Text("one"))
			m.Broadcast(wsmanager.Text("two"))
			_ = m.Conns(c.ID()).Close(4000, "enough")
		}
	})
	c := dialOver(t, url, nil)
	c.ExpectText("one")
	c.ExpectText("two")
	require.Equal(t, "enough", c.ExpectClose(4000))
	require.Equal(t, []string{"connect", `close: wsmanager: closed here with 4000 ("enough")`}, j.await(t, 2))
}

// A connection whose outbox overflows before it has a socket fails, and OnClose does not wait
// for the peer.
func TestOutboxFullDuringTheHandshake(t *testing.T) {
	onEachDriver(t, testOutboxFullDuringTheHandshake)
}

func testOutboxFullDuringTheHandshake(t *testing.T) {
	j := newJournal()
	_, url := duringTheHandshake(t, j, func(m *wsmanager.Manager) {
		for m.Broadcast(wsmanager.Text("x")).Queued > 0 {
		}
	})
	c := dialOver(t, url, nil)
	f, err := c.ReadFrame()
	require.NoError(t, err)
	require.Equal(t, ws.OpClose, f.Header.OpCode)
	require.Equal(t, []string{"connect", "close: wsmanager: closed here with 1013: the peer reads too slowly"}, j.await(t, 2))
	require.NoError(t, c.Conn().Close())
}

// If Shutdown gives up waiting for a handshake, the socket is closed when the handshake
// completes later.
func TestShutdownGivesUpDuringTheHandshake(t *testing.T) {
	onEachDriverAtOnce(t, testShutdownGivesUpDuringTheHandshake)
}

func testShutdownGivesUpDuringTheHandshake(t *testing.T) {
	j := newJournal()
	m, url := duringTheHandshake(t, j, func(m *wsmanager.Manager) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		j.note("%v", m.Shutdown(ctx))
	})
	c := dialOver(t, url, nil)
	c.ExpectEOF()
	require.Equal(t, []string{
		"wsmanager: shutdown: connections were cut, and not all have ended: context canceled",
		"connect",
		"close: wsmanager: closed here with 1001: the manager is shutting down",
	}, j.await(t, 3))
	require.NoError(t, m.Shutdown(t.Context()))
}
