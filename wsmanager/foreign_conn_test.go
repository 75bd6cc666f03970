package wsmanager_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
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

// faultyConn is a net.Conn of an application. After armed is set, its writes block until
// SetDeadline or Close is called, and the methods in panics panic.
type faultyConn struct {
	net.Conn
	panics []string

	armed atomic.Bool
	once  sync.Once
	ended chan struct{}
}

func (c *faultyConn) fault(method string) {
	if c.armed.Load() && slices.Contains(c.panics, method) {
		panic("fault in " + method)
	}
}

func (c *faultyConn) end() { c.once.Do(func() { close(c.ended) }) }

func (c *faultyConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.fault("Read")
	return n, err
}

func (c *faultyConn) Write(p []byte) (int, error) {
	c.fault("Write")
	if c.armed.Load() {
		<-c.ended
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}

func (c *faultyConn) SetReadDeadline(t time.Time) error {
	c.fault("SetReadDeadline")
	return c.Conn.SetReadDeadline(t)
}

func (c *faultyConn) SetDeadline(t time.Time) error {
	c.fault("SetDeadline")
	if c.armed.Load() {
		c.end()
	}
	return c.Conn.SetDeadline(t)
}

func (c *faultyConn) Close() error {
	c.fault("Close")
	c.end()
	return c.Conn.Close()
}

// A panic in a method of a net.Conn, during a broadcast or elsewhere, ends that connection and
// is logged once. Broadcasts to the other connections continue.
func TestPanicsOfForeignConns(t *testing.T) {
	overflow := func(m *wsmanager.Manager, _, other *wstest.Client) {
		for range 8 {
			m.Broadcast(wsmanager.Binary(make([]byte, 16<<10)))
			other.Binary() // keeps the outbox of the other connection from filling up
		}
	}
	for name, tt := range map[string]struct {
		panics []string
		act    func(m *wsmanager.Manager, peer, other *wstest.Client)
	}{
		"interrupted in a broadcast": {[]string{"SetReadDeadline"}, overflow},
		"closed in a broadcast":      {[]string{"SetReadDeadline", "Close"}, overflow},
		"closed by the timer":        {[]string{"Close"}, overflow},
		"written to":                 {[]string{"Write"}, overflow},
		"read": {[]string{"Read"}, func(_ *wsmanager.Manager, peer, _ *wstest.Client) {
			peer.SendText("x")
		}},
		"closed at the end": {[]string{"Close"}, func(_ *wsmanager.Manager, peer, _ *wstest.Client) {
			peer.Kill()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts, log := logged()
			opts.Limits.MaxMessageSize = 16 << 10
			opts.Outbox.Bytes = 64 << 10
			opts.Timeouts.Close = 50 * time.Millisecond
			m := wsmanager.MustNew(wsmanager.Callbacks{}, opts)
			faulty := &faultyConn{panics: tt.panics, ended: make(chan struct{})}
			hijacked := make(chan struct{}, 2)
			srv := start(t, m, func(srv *httptest.Server) {
				srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
					if state == http.StateHijacked {
						hijacked <- struct{}{}
					}
				}
				srv.Listener = wrappingListener{srv.Listener, func(c net.Conn) net.Conn {
					if faulty.Conn != nil {
						return c
					}
					faulty.Conn = c
					return faulty
				}}
			})
			peer := dialOver(t, srv.URL, nil)
			receive(t, hijacked) // net/http sends the 101 before its last calls of the net.Conn
			slow := onlyConn(t, m)
			other := dialOver(t, srv.URL, nil)
			faulty.armed.Store(true)
			tt.act(m, peer, other)
			<-slow.Context().Done()
			require.Eventually(t, func() bool { return m.All().Len() == 1 }, wstest.Patience, time.Millisecond)
			require.Equal(t, wsmanager.Sent{Queued: 1}, m.Broadcast(wsmanager.Text("to the others")))
			other.ExpectText("to the others")
			faults := func() (n int) {
				for _, record := range log.all() {
					n += strings.Count(record, `panicked: fault in `)
					if strings.Contains(record, "fault in") {
						require.Contains(t, record, `"level":"ERROR"`)
						require.Contains(t, record, "faultyConn")
					}
				}
				return n
			}
			require.Eventually(t, func() bool { return faults() >= 1 }, wstest.Patience, time.Millisecond)
			other.SendClose(1000, "")
			other.ExpectClose(1000)
			require.NoError(t, m.Shutdown(t.Context()))
			require.Equal(t, 1, faults())
			_ = faulty.Conn.Close() // already closed, unless Close has panicked
		})
	}
}

// shutdownAt is a log that calls Shutdown at the record with a message, with a context that has
// ended.
type shutdownAt struct {
	slog.Handler
	message string
	m       *wsmanager.Manager
	result  chan error
}

func (*shutdownAt) Enabled(context.Context, slog.Level) bool { return true }

func (h *shutdownAt) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == h.message {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		h.result <- h.m.Shutdown(ctx)
	}
	return nil
}

// Shutdown does not return before the last record of a connection.
func TestShutdownWaitsForTheRecordOfAPanicInClose(t *testing.T) {
	h := &shutdownAt{Handler: slog.DiscardHandler, message: "closing a websocket panicked", result: make(chan error, 1)}
	h.m = wsmanager.MustNew(wsmanager.Callbacks{}, wsmanager.Options{Logger: slog.New(h)})
	accepted := make(chan net.Conn, 1)
	srv := start(t, h.m, func(srv *httptest.Server) {
		srv.Listener = wrappingListener{srv.Listener, func(c net.Conn) net.Conn {
			accepted <- c
			return unclosable{c.(*net.TCPConn)}
		}}
	})
	peer := dialOver(t, srv.URL, nil)
	peer.SendClose(1000, "")
	peer.ExpectClose(1000)
	require.ErrorContains(t, <-h.result, "not all have ended")
	require.NoError(t, (<-accepted).Close())
}

// unclosable is a net.Conn of an application whose Close panics.
type unclosable struct{ *net.TCPConn }

func (unclosable) Close() error { panic("fault in Close") }

// readFails is a net.Conn of an application whose Read panics once it is armed.
type readFails struct {
	*net.TCPConn
	armed *atomic.Bool
}

func (c readFails) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	if c.armed.Load() {
		panic("fault in Read")
	}
	return n, err
}

// A panic while the end of the peer's direction is awaited is logged, like any other.
func TestPanicOfAReadAfterTheCloseFrames(t *testing.T) {
	opts, log := logged()
	m := wsmanager.MustNew(wsmanager.Callbacks{}, opts)
	var armed atomic.Bool
	srv := start(t, m, func(srv *httptest.Server) {
		srv.Listener = wrappingListener{srv.Listener, func(c net.Conn) net.Conn {
			return readFails{c.(*net.TCPConn), &armed}
		}}
	})
	peer := dialOver(t, srv.URL, nil)
	peer.SendClose(1000, "")
	f, err := peer.ReadFrame()
	require.NoError(t, err)
	require.Equal(t, ws.OpClose, f.Header.OpCode)
	require.Equal(t, "websocket closed", log.record(t, 0)["msg"])
	armed.Store(true)
	require.NoError(t, peer.Conn().Close())
	rec := log.record(t, 1)
	require.Equal(t, "closing a websocket panicked", rec["msg"])
	require.Equal(t, "wsmanager: Read of a wsmanager_test.readFails panicked: fault in Read", rec["err"])
	require.Contains(t, rec["stack"], "readFails.Read")
}
