package extendedconnect_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/internal/h2test"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
	_ "github.com/speakingtube/speakingtube/wsmanager/extendedconnect"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// lines is a log, split into lines.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(p))
	return len(p), nil
}

func (l *lines) get() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.all...)
}

// gzipped is a component that compresses every body without checking whether it may.
func gzipped(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		next.ServeHTTP(gzipWriter{w, gzip.NewWriter(w)}, r)
	})
}

type gzipWriter struct {
	http.ResponseWriter
	gz *gzip.Writer
}

func (w gzipWriter) Write(p []byte) (int, error) { return w.gz.Write(p) }
func (w gzipWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// readFrame returns the payload of the next frame.
func readFrame(t *testing.T, r io.Reader) string {
	t.Helper()
	h, err := ws.ReadHeader(r)
	require.NoError(t, err)
	payload := make([]byte, h.Length)
	_, err = io.ReadFull(r, payload)
	require.NoError(t, err)
	return string(payload)
}

// A WebSocket over HTTP/2 passes through the components of a pipeline: they see the 200
// when it opens, and next returns when it has ended. They do not see the frames.
// ServeListener's drain ends it.
func TestWebSocketOverHTTP2InAPipeline(t *testing.T) {
	log := &lines{}
	chat := wsmanager.MustNew(wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) },
	}, wsmanager.Options{Logger: slog.New(slog.DiscardHandler)})
	app := pipeline.New()
	app.Use(
		middleware.Recover(middleware.RecoverOptions{}),
		middleware.RequestID(middleware.RequestIDOptions{}),
		middleware.ResponseTime,
		middleware.AccessLog(middleware.AccessLogOptions{Logger: slog.New(slog.NewJSONHandler(log, nil))}),
		middleware.Timeout(50*time.Millisecond),
		middleware.BodyLimit(10),
		gzipped,
	)
	app.Mount("/ws", chat)
	h, err := app.Build()
	require.NoError(t, err)
	srv := &http.Server{Handler: h, Protocols: new(http.Protocols)}
	srv.Protocols.SetUnencryptedHTTP2(true)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- pipeline.ServeListener(ctx, ln, srv, chat.Shutdown) }()

	conn, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	client := h2test.New(conn)
	defer client.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodConnect, "http://"+ln.Addr().String()+"/ws", nil)
	require.NoError(t, err)
	req.Header = http.Header{":protocol": {"websocket"}, "Sec-Websocket-Version": {"13"}}
	stream, err := client.Open(req, false)
	require.NoError(t, err)
	res, err := stream.Response()
	require.NoError(t, err)
	require.Equal(t, 200, res.StatusCode)
	require.NotEmpty(t, res.Header.Get("X-Request-Id"))
	require.NotEmpty(t, res.Header.Get("X-Response-Time"))
	require.Empty(t, res.Header.Get("Content-Encoding"))
	br := bufio.NewReader(stream)
	for begin := time.Now(); time.Since(begin) < 200*time.Millisecond; { // beyond the Timeout
		_, err = stream.Write(wstest.Frame(ws.OpText, true, []byte("hello, beyond the body's limit")))
		require.NoError(t, err)
		require.Equal(t, "hello, beyond the body's limit", readFrame(t, br))
	}
	require.Empty(t, log.get(), "it is logged when it has ended")

	stop()
	require.Equal(t, "\x03\xe9", readFrame(t, br), "1001")
	_, err = stream.Write(wstest.Frame(ws.OpClose, true, []byte("\x03\xe9")))
	require.NoError(t, err)
	require.NoError(t, stream.CloseWrite())
	require.NoError(t, <-served)
	require.Len(t, log.get(), 1)
	var rec struct {
		Level    string
		Request  struct{ Method, URL string }
		Response struct {
			Status   int
			Bytes    int64
			Took     time.Duration
			Upgraded bool
			Aborted  bool
		}
	}
	require.NoError(t, json.NewDecoder(strings.NewReader(log.get()[0])).Decode(&rec))
	require.Equal(t, "INFO", rec.Level)
	require.Equal(t, "CONNECT", rec.Request.Method)
	require.Equal(t, "/ws", rec.Request.URL)
	require.Equal(t, 200, rec.Response.Status)
	require.True(t, rec.Response.Upgraded)
	require.False(t, rec.Response.Aborted)
	require.Zero(t, rec.Response.Bytes, "the frames are no body")
	require.Greater(t, rec.Response.Took, 200*time.Millisecond)
}
