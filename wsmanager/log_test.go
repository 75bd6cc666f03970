package wsmanager_test

import (
	"context"
	"log/slog"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// contextRecorder is a log handler that records a value of each record's context, like
// handlers that correlate logs with traces.
type contextRecorder struct {
	slog.Handler
	j *journal
}

type traceKey struct{}

func (h contextRecorder) Enabled(context.Context, slog.Level) bool { return true }

func (h contextRecorder) Handle(ctx context.Context, r slog.Record) error {
	h.j.note("%s: %v", r.Message, ctx.Value(traceKey{}))
	return nil
}

// The record of a refusal carries the request's context; records of a connection carry
// Options.BaseContext.
func TestLogRecordsCarryTheirContext(t *testing.T) { onEachDriver(t, testLogRecordsCarryTheirContext) }

func testLogRecordsCarryTheirContext(t *testing.T) {
	j := newJournal()
	_, url := serve(t, wsmanager.Callbacks{}, wsmanager.Options{
		Logger:      slog.New(contextRecorder{slog.DiscardHandler, j}),
		BaseContext: context.WithValue(context.Background(), traceKey{}, "base"),
	}, func(m *wsmanager.Manager) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			m.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), traceKey{}, "request")))
		})
	})
	req := wstest.Request(t, url)
	req.Header.Set("Origin", "null")
	require.Equal(t, 403, handshakeOver(t, req, nil).Response.StatusCode)
	c := dialOver(t, url, nil)
	c.SendClose(1000, "")
	c.ExpectClose(1000)
	require.Equal(t, []string{"websocket refused: request", "websocket connected: base", "websocket closed: base"}, j.await(t, 3))
}

// Most callbacks end with `return c.Send(m)`. If the connection is already closing, that error
// deserves neither a warning nor an attribute.
func TestSendOnAClosingConnectionIsNoWarning(t *testing.T) {
	onEachDriver(t, testSendOnAClosingConnectionIsNoWarning)
}

func testSendOnAClosingConnectionIsNoWarning(t *testing.T) {
	opts, log := logged()
	_, url := serve(t, wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			_ = c.Close(1000, "") // like a concurrent Close from another goroutine
			return c.Send(m)
		},
	}, opts, nil)
	c := dialOver(t, url, nil)
	c.SendText("x")
	c.ExpectClose(1000)
	rec := log.record(t, 0)
	require.Equal(t, "INFO", rec["level"])
	require.NotContains(t, rec, "secondary_err")
}

// A connection that Shutdown closes is logged at level INFO.
func TestShutdownIsNoWarning(t *testing.T) { onEachDriver(t, testShutdownIsNoWarning) }

func testShutdownIsNoWarning(t *testing.T) {
	opts, log := logged()
	m, url := serve(t, wsmanager.Callbacks{}, opts, nil)
	c := dialOver(t, url, nil)
	done := make(chan error)
	go func() { done <- m.Shutdown(context.Background()) }()
	c.ExpectClose(1001)
	require.NoError(t, <-done)
	rec := log.record(t, 0)
	require.Equal(t, "INFO", rec["level"])
	require.EqualValues(t, 1001, rec["code"])
	require.Equal(t, "server", rec["by"])
}
