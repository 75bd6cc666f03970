package wstest_test

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestMain(m *testing.M) { wstest.Main(m) }

// recorder is a testing.TB that records a failure and ends the goroutine.
type recorder struct {
	testing.TB
	failure string
}

func (r *recorder) Helper() {}
func (r *recorder) Fatalf(format string, args ...any) {
	r.failure = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// failure runs f and returns its failure, or "" if it did not fail.
func failure(t *testing.T, f func(testing.TB)) string {
	t.Helper()
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() { defer close(done); f(r) }()
	<-done
	return r.failure
}

// scriptServer serves a handshake and then the given frames, and reads until the client is
// gone.
func scriptServer(t *testing.T, status int, accept string, frames ...[]byte) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status != http.StatusSwitchingProtocols {
			http.Error(w, "not you", status)
			return
		}
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept)
		for _, f := range frames {
			_, _ = rw.Write(f)
		}
		_ = rw.Flush() // the client may be gone
		_, _ = bufio.NewReader(conn).Discard(6)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func compile(f ws.Frame) []byte { return ws.MustCompileFrame(f) }

func TestClientFails(t *testing.T) {
	text := compile(ws.NewTextFrame([]byte("hello")))
	closing := compile(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "bye")))
	for _, tt := range []struct {
		name   string
		url    string
		expect func(*wstest.Client)
		want   string // of the failure; "" for none
	}{
		{"as expected", scriptServer(t, 101, wstest.Accept, text, closing), func(c *wstest.Client) { c.ExpectText("hello"); c.ExpectClose(1000) }, ""},
		{"refused", scriptServer(t, 403, ""), nil, "answered with 403 Forbidden: not you"},
		{"a wrong Sec-WebSocket-Accept", scriptServer(t, 101, "x"), nil, `Sec-WebSocket-Accept is "x"`},
		{"another text", scriptServer(t, 101, wstest.Accept, text), func(c *wstest.Client) { c.ExpectText("bye") }, `got the text "hello", want "bye"`},
		{"a close instead of a text", scriptServer(t, 101, wstest.Accept, closing), func(c *wstest.Client) { c.Text() }, `the server closed with 1000 "bye"`},
		{"a binary instead of a text", scriptServer(t, 101, wstest.Accept, compile(ws.NewBinaryFrame(nil))), func(c *wstest.Client) { c.Text() }, "got opcode 0x2"},
		{"another pong", scriptServer(t, 101, wstest.Accept, compile(ws.NewPongFrame([]byte("b")))), func(c *wstest.Client) { c.ExpectPong([]byte("a")) }, `want a pong "a"`},
		{"another code", scriptServer(t, 101, wstest.Accept, closing), func(c *wstest.Client) { c.ExpectClose(1001) }, `closed with 1000 "bye", want 1001`},
		{"more after the close frame", scriptServer(t, 101, wstest.Accept, closing, text), func(c *wstest.Client) { c.ExpectClose(1000) }, "7 bytes after the close frame"},
		{"a masked frame", scriptServer(t, 101, wstest.Accept, wstest.Frame(ws.OpText, true, nil)), func(c *wstest.Client) { c.Text() }, "the server sent a bad frame"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := failure(t, func(tb testing.TB) {
				c := wstest.Dial(tb, tt.url, nil)
				if tt.expect != nil {
					tt.expect(c)
				}
				_, _ = c.Conn().Write(make([]byte, 6)) // makes the script end
			})
			if tt.want == "" {
				require.Empty(t, got)
				return
			}
			require.True(t, strings.HasPrefix(got, "wstest: "), got)
			require.Contains(t, got, tt.want)
		})
	}
}
