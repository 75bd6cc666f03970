// Package recipetest has helpers for the recipes' tests.
package recipetest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// Logs collects records as JSON.
type Logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (l *Logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// Handler writes into l.
func (l *Logs) Handler() slog.Handler { return slog.NewJSONHandler(l, nil) }

// Logger writes into l.
func (l *Logs) Logger() *slog.Logger { return slog.New(l.Handler()) }

// String returns the whole log.
func (l *Logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Records returns the records so far.
func (l *Logs) Records(t testing.TB) []map[string]any {
	t.Helper()
	var out []map[string]any
	for line := range strings.Lines(l.String()) {
		var rec map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &rec))
		out = append(out, rec)
	}
	return out
}

// Wait returns the records when there are n of them. AccessLog writes one when the response
// is complete: the client may have read it before.
func (l *Logs) Wait(t testing.TB, n int) []map[string]any {
	t.Helper()
	require.Eventually(t, func() bool { return len(l.Records(t)) >= n }, wstest.Patience, time.Millisecond)
	records := l.Records(t)
	require.Len(t, records, n)
	return records
}

// Quiet is a logger that discards everything.
func Quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Serve serves h over HTTP/1.1, or over HTTP/2 with TLS, until the test ends.
func Serve(t testing.TB, h http.Handler, http2 bool) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	if http2 {
		srv.EnableHTTP2 = true
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	srv.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if tr, ok := srv.Client().Transport.(*http.Transport); ok {
		tr.DisableCompression = true // the tests check the bytes on the wire
	}
	return srv
}

// Both runs f over HTTP/1.1 and over HTTP/2, each with a handler of its own.
func Both(t *testing.T, h func() http.Handler, f func(*testing.T, *httptest.Server)) {
	t.Helper()
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("http2=%v", http2), func(t *testing.T) { f(t, Serve(t, h(), http2)) })
	}
}

// Answer is a response with its whole body.
type Answer struct {
	*http.Response
	Text string
	Err  error // of reading the body
}

// Do sends a request without a body; header has names and values in turn.
func Do(t testing.TB, srv *httptest.Server, method, target string, header ...string) Answer {
	t.Helper()
	res, err := Send(t, srv, method, target, header...)
	require.NoError(t, err)
	return res
}

// Send is Do for a response that the server may abort.
func Send(t testing.TB, srv *httptest.Server, method, target string, header ...string) (Answer, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+target, nil)
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := srv.Client().Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return Answer{res, string(body), err}, nil
}

// Raw sends a request line unchanged, which http.Client would clean or refuse.
func Raw(t testing.TB, srv *httptest.Server, target string, header ...string) Answer {
	t.Helper()
	conn, err := net.DialTimeout("tcp", srv.Listener.Addr().String(), wstest.Patience)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(wstest.Patience)))
	var req strings.Builder
	fmt.Fprintf(&req, "GET %s HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n", target)
	for i := 0; i < len(header); i += 2 {
		fmt.Fprintf(&req, "%s: %s\r\n", header[i], header[i+1])
	}
	_, err = io.WriteString(conn, req.String()+"\r\n")
	require.NoError(t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return Answer{res, string(body), err}
}

// Text returns a handler that answers with s.
func Text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
}

// Seen is one response as an observer saw it.
type Seen struct {
	Starts   []int // the status of each call of the OnStarting callback
	Status   int
	Bytes    int64
	Upgraded bool
}

// Watch is an observer that sets X-Watch in OnStarting and sends its result when the
// response is complete.
func Watch(c chan<- Seen) pipeline.Middleware {
	return pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		var seen Seen
		if err := res.OnStarting(func(h http.Header, status int) {
			h.Add("X-Watch", fmt.Sprint(status))
			seen.Starts = append(seen.Starts, status)
		}); err != nil {
			panic(err)
		}
		if err := res.OnCompleted(func() {
			seen.Status, seen.Bytes, seen.Upgraded = res.Status(), res.BytesWritten(), res.Upgraded()
			c <- seen
		}); err != nil {
			panic(err)
		}
		next.ServeHTTP(w, r)
	})
}

// Receive waits for a value.
func Receive[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(wstest.Patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// Echo is a WebSocket endpoint that sends messages back. It is shut down at the end of the
// test.
func Echo(t testing.TB, accept func(*http.Request) (wsmanager.Accept, error), opts wsmanager.Options) *wsmanager.Manager {
	t.Helper()
	if opts.Logger == nil {
		opts.Logger = Quiet()
	}
	m := wsmanager.MustNew(wsmanager.Callbacks{
		OnAccept:  accept,
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) },
	}, opts)
	t.Cleanup(func() { _ = m.Shutdown(t.Context()) }) // the context is done: Shutdown closes immediately
	return m
}

// ExpectEcho checks that the socket works, and closes it.
func ExpectEcho(c *wstest.Client) {
	c.SendText("hello")
	c.ExpectText("hello")
	c.SendClose(1000, "")
	c.ExpectClose(1000)
}
