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
	"os"
	"sync"
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

// The deadline of a body cancels the context too, but its client has not left.
func TestBodyTooSlowForAnother(t *testing.T) {
	var l logs
	h := pipeline.New().
		Use(pipeline.MinBodyRate(pipeline.BodyRate{BytesPerSecond: 1 << 20, Grace: 50 * time.Millisecond})).
		Use(middleware.AccessLog(middleware.AccessLogOptions{Logger: l.logger()}), middleware.Recover(middleware.RecoverOptions{Logger: l.logger()})).
		Map("/context", func(b *pipeline.Builder) {
			b.Run(middleware.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
				go func() { _, _ = io.Copy(io.Discard, r.Body) }()
				<-r.Context().Done()
				return r.Context().Err()
			}))
		}).
		Map("/driver", func(b *pipeline.Builder) {
			b.Run(middleware.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
				_, _ = io.Copy(io.Discard, r.Body)
				return errors.New("the query was cancelled")
			}))
		}).
		Run(proxyTo(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))).MustBuild()
	srv := httptest.NewServer(h)
	defer srv.Close()
	for _, target := range []string{"/context", "/driver", "/proxy"} {
		res, err := rawConversation(srv.Listener.Addr().String(), "POST "+target+" HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
		require.NoError(t, err)
		require.Equal(t, http.StatusRequestTimeout, res.StatusCode, target)
	}
	for _, rec := range l.records(t) {
		require.NotEqual(t, "ERROR", rec["level"], "%v", rec)
	}
}

// rawConversation sends a request, reads the answer, and waits until the server has closed the
// connection.
func rawConversation(addr, request string) (*http.Response, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(60 * time.Second)); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(conn, request); err != nil {
		return nil, err
	}
	br := bufio.NewReader(conn)
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		return nil, err
	}
	if _, err := io.ReadAll(res.Body); err != nil {
		return nil, err
	}
	if _, err := br.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, errors.New("the connection stays open")
	}
	return res, nil
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
	var tests sync.WaitGroup // they mostly wait
	defer tests.Wait()
	for name, handler := range map[string]http.Handler{"alone": h, "with a minimum rate": pipeline.MinBodyRate(pipeline.BodyRate{})(h)} {
		srv := httptest.NewServer(counted(handler))
		t.Cleanup(srv.Close)
		for _, tt := range []struct {
			target, head, body string
			status             int
		}{
			{"POST /limited", "Content-Length: 1000\r\n", "", 413},
			{"POST /limited", "Content-Length: 1000\r\n", "abc", 413},
			{"POST /limited", "Expect: 100-continue\r\nContent-Length: 1000\r\n", "", 413},
			{"POST /limited", "Transfer-Encoding: chunked\r\n", "14\r\n01234567890123456789\r\n", 413},
			{"POST /ignored", "Content-Length: 1000\r\n", "", 413},
			{"POST /ignored", "Transfer-Encoding: chunked\r\n", "14\r\n01234567890123456789\r\n", 413},
			{"POST /firm", "Content-Length: 1000\r\n", "", 413},
			{"POST /firm", "Expect: 100-continue\r\nContent-Length: 1000\r\n", "", 413},
			{"POST /firm", "Transfer-Encoding: chunked\r\n", "14\r\n01234567890123456789\r\n", 413},
			{"POST /ws", "Content-Length: 1000\r\n", "", 426},
			{"GET /ws", handshake + "Content-Length: 1000\r\n", "", 400},
			{"GET /ws", handshake + "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n", 400},
		} {
			tests.Go(func() {
				res, err := rawConversation(srv.Listener.Addr().String(), tt.target+" HTTP/1.1\r\nHost: x\r\n"+tt.head+"\r\n"+tt.body)
				if err == nil && (res.StatusCode != tt.status || !res.Close) {
					err = fmt.Errorf("the answer is %d, closing: %v", res.StatusCode, res.Close)
				}
				if err != nil {
					t.Errorf("%s, %s, %q, %q: %v", name, tt.target, tt.head, tt.body, err)
				}
			})
		}
	}
}
