package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// serverOptions configure the server of a test.
type serverOptions struct {
	driver    wsmanager.Driver
	compress  bool
	tls       bool
	broadcast bool
	limit     int // largest number of connections

	onMessage func(*wsmanager.Conn, wsmanager.Message) error // replaces echo or broadcast
}

// testServer is a Manager on a real socket.
type testServer struct {
	url    string
	m      *wsmanager.Manager
	header atomic.Value // http.Header of the last handshake
}

func serve(t *testing.T, o serverOptions) *testServer {
	t.Helper()
	s := &testServer{}
	cb := wsmanager.Callbacks{OnMessage: o.onMessage}
	switch {
	case cb.OnMessage != nil:
	case o.broadcast:
		cb.OnMessage = func(c *wsmanager.Conn, m wsmanager.Message) error {
			c.Manager().Broadcast(m)
			return nil
		}
	default:
		cb.OnMessage = func(c *wsmanager.Conn, m wsmanager.Message) error { return c.SendContext(context.Background(), m) }
	}
	cb.OnAccept = func(r *http.Request) (wsmanager.Accept, error) {
		s.header.Store(r.Header.Clone())
		return wsmanager.Accept{}, nil
	}
	s.m = wsmanager.MustNew(cb, wsmanager.Options{
		Logger:         slog.New(slog.DiscardHandler),
		Driver:         o.driver,
		MaxConnections: o.limit,
		Outbox:         wsmanager.Outbox{Messages: 1 << 16, Bytes: 64 << 20},
		Compression:    wsmanager.Compression{Enabled: o.compress, Threshold: 1},
	})
	srv := httptest.NewUnstartedServer(s.m)
	if o.tls {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	s.url = strings.Replace(srv.URL, "http", "ws", 1)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), wstest.Patience)
		defer cancel()
		require.NoError(t, s.m.Shutdown(ctx))
		srv.Close()
	})
	return s
}

// newTestLoad returns a load for the server with a time-out that is never reached.
func newTestLoad(t *testing.T, s *testServer, args ...string) *load {
	t.Helper()
	cfg, err := parseFlags(append([]string{"-url", s.url, "-timeout", wstest.Patience.String()}, args...), t.Output())
	require.NoError(t, err)
	l, err := newLoad(cfg)
	require.NoError(t, err)
	return l
}

var drivers = []wsmanager.Driver{wsmanager.DriverGoroutine, wsmanager.DriverAuto}

// With a rate the number of messages is known, even on a busy machine. The server counts
// the same.
func TestLoad(t *testing.T) {
	for _, driver := range drivers {
		for _, mode := range []mode{modeEcho, modeBroadcast} {
			for _, compress := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v, %s, compress=%v", driver, mode, compress), func(t *testing.T) {
					const connections, senders, sent = 20, 5, 500
					s := serve(t, serverOptions{driver: driver, compress: compress, broadcast: mode == modeBroadcast})
					l := newTestLoad(t, s, "-connections", "20", "-senders", "5", "-mode", string(mode), "-payload", "json", "-size", "1000",
						"-rate", "5000", "-duration", "100ms", fmt.Sprintf("-compress=%v", compress))
					r, err := l.run(t.Context())
					require.NoError(t, err)
					require.True(t, r.OK, "%+v", r)
					received := uint64(sent)
					if mode == modeBroadcast {
						received *= connections
					}
					require.Equal(t, connections, r.Connections.Made)
					require.EqualValues(t, sent, r.Messages.Sent)
					require.Equal(t, received, r.Messages.Received)
					require.Empty(t, r.Errors)
					require.Zero(t, r.Violations)
					require.False(t, r.Interrupted)
					counted := uint64(0)
					for _, row := range r.Histogram {
						counted += row.Count
					}
					require.Equal(t, received, counted)
					require.NotNil(t, r.LatenessNs)
					require.GreaterOrEqual(t, r.LatencyNs.Max, r.LatencyNs.P50)

					require.Eventually(t, func() bool { return s.m.Stats().Closed[1000] == connections }, wstest.Patience, time.Millisecond)
					st := s.m.Stats()
					require.EqualValues(t, sent, st.MessagesIn)
					require.Equal(t, received, st.MessagesOut)
					require.Len(t, st.Closed, 1)
					if compress {
						require.EqualValues(t, connections, r.Wire.Compressing)
						require.EqualValues(t, sent, r.Wire.CompressedOut)
						require.Equal(t, received, r.Wire.CompressedIn)
						require.Less(t, r.Wire.BytesIn, received*700)
					} else {
						require.Zero(t, r.Wire.Compressing)
						require.GreaterOrEqual(t, r.Wire.BytesIn, received*1000)
					}
				})
			}
		}
	}
}

// Without a rate each answer lets the sender continue. An interrupted run waits for the
// messages in flight.
func TestClosedLoop(t *testing.T) {
	for _, driver := range drivers {
		for _, mode := range []mode{modeEcho, modeBroadcast} {
			t.Run(fmt.Sprint(driver, " ", mode), func(t *testing.T) {
				s := serve(t, serverOptions{driver: driver, broadcast: mode == modeBroadcast})
				l := newTestLoad(t, s, "-connections", "10", "-mode", string(mode), "-in-flight", "3", "-duration", "1h")
				ctx, interrupt := context.WithCancel(t.Context())
				defer interrupt()
				go func() {
					for s.m.Stats().MessagesIn < 1000 && ctx.Err() == nil {
						time.Sleep(time.Millisecond)
					}
					interrupt()
				}()
				r, err := l.run(ctx)
				require.NoError(t, err)
				require.True(t, r.OK, "%+v", r)
				require.True(t, r.Interrupted)
				require.GreaterOrEqual(t, r.Messages.Sent, uint64(1000))
				times := uint64(1)
				if mode == modeBroadcast {
					times = 10
				}
				require.Equal(t, times*r.Messages.Sent, r.Messages.Received)
				require.Equal(t, r.Messages.Sent, s.m.Stats().MessagesIn)
				require.Nil(t, r.LatenessNs)
			})
		}
	}
}

// The end of the duration ends the run like an interrupt.
func TestDuration(t *testing.T) {
	s := serve(t, serverOptions{})
	l := newTestLoad(t, s, "-connections", "3", "-duration", "50ms")
	r, err := l.run(t.Context())
	require.NoError(t, err)
	require.True(t, r.OK, "%+v", r)
	require.False(t, r.Interrupted)
	require.Equal(t, r.Messages.Sent, r.Messages.Received)
	require.Equal(t, r.Messages.Sent, s.m.Stats().MessagesIn)
}

func TestTLS(t *testing.T) {
	s := serve(t, serverOptions{tls: true})
	l := newTestLoad(t, s, "-insecure", "-connections", "5", "-rate", "1000", "-duration", "100ms")
	r, err := l.run(t.Context())
	require.NoError(t, err)
	require.True(t, r.OK, "%+v", r)
	require.EqualValues(t, 100, r.Messages.Received)

	l = newTestLoad(t, s, "-connections", "5")
	r, err = l.run(t.Context())
	require.ErrorContains(t, err, "certificate is not trusted (-insecure accepts it)")
	require.False(t, r.OK)
}

// If some connections are refused, the others carry the load and the run fails.
func TestSomeAreRefused(t *testing.T) {
	s := serve(t, serverOptions{limit: 4})
	l := newTestLoad(t, s, "-connections", "10", "-rate", "1000", "-duration", "100ms")
	r, err := l.run(t.Context())
	require.NoError(t, err)
	require.False(t, r.OK)
	require.Equal(t, 4, r.Connections.Made)
	require.Equal(t, []kindCount{{"handshake refused with 503 Service Unavailable", 6}}, r.Errors)
	require.EqualValues(t, 100, r.Messages.Received, "the open connections send all messages")
	require.Zero(t, r.Violations)
}

// A run that is interrupted while it connects sends nothing.
func TestInterruptedRamp(t *testing.T) {
	s := serve(t, serverOptions{})
	l := newTestLoad(t, s, "-connections", "100", "-ramp", "1h")
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	go func() {
		for s.m.All().Len() == 0 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		interrupt()
	}()
	r, err := l.run(ctx)
	require.NoError(t, err)
	require.True(t, r.OK)
	require.True(t, r.Interrupted)
	require.Less(t, r.Connections.Made, 100)
	require.Zero(t, r.Messages)
}

func TestInterruptedBeforeTheFirst(t *testing.T) {
	s := serve(t, serverOptions{})
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	r, err := newTestLoad(t, s).run(ctx)
	require.NoError(t, err)
	require.True(t, r.Interrupted)
	require.Zero(t, r.Connections.Made)
}
