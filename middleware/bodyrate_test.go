package middleware_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
)

// A body that is too slow is the client's failure: 408, and no record of level Error.
func TestBodyTooSlow(t *testing.T) {
	var l logs
	h := pipeline.New().
		Use(pipeline.MinBodyRate(pipeline.BodyRate{BytesPerSecond: 1 << 20, Grace: 50 * time.Millisecond})).
		Use(middleware.AccessLog(middleware.AccessLogOptions{Logger: l.logger()}), middleware.Recover(middleware.RecoverOptions{Logger: l.logger()}), middleware.StatusPages(middleware.StatusPagesOptions{})).
		Use(middleware.Timeout(time.Minute), middleware.BodyLimit(1<<20)).
		Map("/returned", func(b *pipeline.Builder) {
			b.Run(middleware.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
				_, err := io.ReadAll(r.Body)
				return err
			}))
		}).
		Map("/panicked", func(b *pipeline.Builder) {
			b.RunFunc(func(_ http.ResponseWriter, r *http.Request) {
				if _, err := io.ReadAll(r.Body); err != nil {
					panic(err)
				}
			})
		}).
		Map("/form", func(b *pipeline.Builder) {
			b.Run(middleware.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error { return r.ParseMultipartForm(1 << 20) }))
		}).
		Map("/ignored", func(b *pipeline.Builder) {
			b.RunFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body) })
		}).MustBuild()
	overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
		for _, target := range []string{"/returned", "/panicked", "/form", "/ignored"} {
			body, client := io.Pipe()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+target, body)
			require.NoError(t, err)
			req.Header.Set("Content-Type", "multipart/form-data; boundary=b")
			res, err := srv.Client().Do(req)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.NoError(t, client.Close())
			require.Equal(t, http.StatusRequestTimeout, res.StatusCode, target)
			require.Equal(t, res.ProtoMajor == 1, res.Close)
		}
	})
	for _, rec := range l.records(t) {
		require.NotEqual(t, "ERROR", rec["level"], "%v", rec)
		if response := group(rec, "response"); response["status"] != nil {
			require.EqualValues(t, http.StatusRequestTimeout, response["status"], "%v", rec)
		}
	}
}

// rawConversation sends a request, reads the answer, and waits until the server has closed the
// connection.
func rawConversation(t *testing.T, addr, request string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(60*time.Second)))
	_, err = io.WriteString(conn, request)
	require.NoError(t, err)
	br := bufio.NewReader(conn)
	res, err := http.ReadResponse(br, nil)
	require.NoError(t, err)
	_, err = io.ReadAll(res.Body)
	require.NoError(t, err)
	_, err = br.ReadByte()
	require.Error(t, err)
	var timeout net.Error
	require.False(t, errors.As(err, &timeout) && timeout.Timeout(), "the connection stays open")
	return res
}

// After a refusal the connection is closed, although the body does not come.
func TestRefusedBodyThatDoesNotCome(t *testing.T) {
	sockets := wsmanager.MustNew(wsmanager.Callbacks{}, wsmanager.Options{Logger: slog.New(slog.DiscardHandler)})
	h := pipeline.New().Use(quiet()).
		Map("/limited", func(b *pipeline.Builder) { b.Use(middleware.BodyLimit(10)).Run(reads) }).
		Map("/ignored", func(b *pipeline.Builder) {
			b.Use(middleware.BodyLimit(10)).RunFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body) })
		}).
		Map("/firm", func(b *pipeline.Builder) {
			b.Use(middleware.BodyLimitWith(10, middleware.BodyLimitOptions{Firm: true})).Run(reads)
		}).
		Mount("/ws", sockets).MustBuild()
	handshake := "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	for name, handler := range map[string]http.Handler{"alone": h, "with a minimum rate": pipeline.MinBodyRate(pipeline.BodyRate{})(h)} {
		srv := httptest.NewServer(counted(handler))
		t.Cleanup(srv.Close)
		for _, tt := range []struct {
			target, head, body string
			status             int
		}{
			{"/limited", "Content-Length: 1000\r\n", "", 413},
			{"/limited", "Content-Length: 1000\r\n", "abc", 413},
			{"/limited", "Transfer-Encoding: chunked\r\n", "14\r\n01234567890123456789\r\n", 413},
			{"/ignored", "Content-Length: 1000\r\n", "", 413},
			{"/ignored", "Transfer-Encoding: chunked\r\n", "14\r\n01234567890123456789\r\n", 413},
			{"/firm", "Content-Length: 1000\r\n", "", 413},
			{"/firm", "Transfer-Encoding: chunked\r\n", "14\r\n01234567890123456789\r\n", 413},
			{"/ws", "Content-Length: 1000\r\n", "", 426},
		} {
			t.Run(fmt.Sprint(name, tt.target, " ", strings.Split(tt.head, "\r\n")[0], tt.body), func(t *testing.T) {
				t.Parallel()
				res := rawConversation(t, srv.Listener.Addr().String(), "POST "+tt.target+" HTTP/1.1\r\nHost: x\r\n"+tt.head+"\r\n"+tt.body)
				require.Equal(t, tt.status, res.StatusCode)
				require.True(t, res.Close)
			})
		}
		for _, tt := range []struct{ head, body string }{{"Content-Length: 1000\r\n", ""}, {"Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n"}} {
			t.Run(fmt.Sprint(name, " handshake ", tt.head), func(t *testing.T) {
				t.Parallel()
				res := rawConversation(t, srv.Listener.Addr().String(), "GET /ws HTTP/1.1\r\nHost: x\r\n"+handshake+tt.head+"\r\n"+tt.body)
				require.Equal(t, 400, res.StatusCode)
			})
		}
	}
}
