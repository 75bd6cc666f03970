package wstest_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// scriptHandler is the handler of scriptServer.
func scriptHandler(accept string, frames ...[]byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Sec-WebSocket-Accept", accept)
		w.Header().Set("X-Seen", r.Host+r.RequestURI)
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		for _, f := range frames {
			_, _ = conn.Write(f) // the client may be gone
		}
		_, _ = bufio.NewReader(rw).Discard(6)
	})
}

// A failure in memory has the same text as over a socket.
func TestMemoryClient(t *testing.T) {
	text, closing := compile(ws.NewTextFrame([]byte("hello"))), compile(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "bye")))
	end := func(c *wstest.Client) { _, _ = c.Conn().Write(make([]byte, 6)) } // makes the script end
	for _, tt := range []struct {
		name   string
		frames [][]byte
		expect func(*wstest.Client)
		want   string
	}{
		{"as expected", [][]byte{text, closing}, func(c *wstest.Client) { c.ExpectText("hello"); end(c); c.ExpectClose(1000) }, ""},
		{"another text", [][]byte{text}, func(c *wstest.Client) { c.ExpectText("bye") }, `wstest: got the text "hello", want "bye"`},
		{"binary", [][]byte{compile(ws.NewBinaryFrame([]byte("b")))}, func(c *wstest.Client) { c.ExpectBinary([]byte("b")) }, ""},
		{"another binary", [][]byte{compile(ws.NewBinaryFrame([]byte("b")))}, func(c *wstest.Client) { c.ExpectBinary([]byte("a")) }, `wstest: got the bytes "b", want "a"`},
		{"a text instead of a binary", [][]byte{text}, func(c *wstest.Client) { c.Binary() }, `wstest: waiting for a binary message: got opcode 0x1, fin true`},
		{"ping", [][]byte{compile(ws.NewPingFrame([]byte("p")))}, func(c *wstest.Client) { c.SendPong(c.ExpectPing()) }, ""},
		{"no ping", [][]byte{text}, func(c *wstest.Client) { c.ExpectPing() }, `wstest: got opcode 0x1 "hello", want a ping`},
		{"nothing", nil, func(c *wstest.Client) { c.ExpectNothing(time.Hour) }, ""},
		{"nothing, and then something", nil, func(c *wstest.Client) { c.ExpectNothing(time.Minute); end(c); c.ExpectEOF() }, ""},
		{"something", [][]byte{text}, func(c *wstest.Client) { c.ExpectNothing(time.Hour) }, `wstest: waiting for nothing: got opcode 0x1 "hello" <nil>`},
		{"the end instead of nothing", nil, func(c *wstest.Client) { end(c); c.ExpectNothing(time.Hour) }, `wstest: waiting for nothing: EOF`},
		{"patience", nil, func(c *wstest.Client) { c.Text() }, `wstest: waiting for a text: read pipe: i/o timeout`},
		{"killed", nil, func(c *wstest.Client) { c.Kill() }, ""},
		{"sending while the server does not read", [][]byte{make([]byte, 1<<20)}, func(c *wstest.Client) { c.SendRaw(make([]byte, 1<<20)) }, `wstest: sending: write pipe: i/o timeout`},
		{"sending after Close", nil, func(c *wstest.Client) { _ = c.Conn().Close(); c.SendText("x") }, `wstest: sending: write pipe: use of closed network connection`},
		{"sending to a server that has ended", [][]byte{text, closing}, func(c *wstest.Client) {
			end(c)
			synctest.Wait()
			c.SendRaw(make([]byte, 1<<20))
			c.ExpectText("hello")
			c.ExpectClose(1000)
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := failure(t, func(tb testing.TB) {
					c := wstest.DialHandler(tb, scriptHandler(wstest.Accept, tt.frames...), "/ws?a=1", http.Header{"X-Test": {"1"}}, wstest.Memory{})
					require.Equal(t, "example.com/ws?a=1", c.Response.Header.Get("X-Seen"))
					tt.expect(c)
					end(c)
				})
				require.Equal(t, tt.want, got)
			})
		})
	}
}

func TestMemoryHandshakes(t *testing.T) {
	got := failure(t, func(tb testing.TB) {
		wstest.DialHandler(tb, http.NotFoundHandler(), "http://chat.example/ws", nil, wstest.Memory{})
	})
	require.Equal(t, "wstest: the handshake with http://chat.example/ws was answered with 404 Not Found: 404 page not found\n", got)
	got = failure(t, func(tb testing.TB) { wstest.DialHandler(tb, scriptHandler("x"), "/", nil, wstest.Memory{}) })
	require.Contains(t, got, `Sec-WebSocket-Accept is "x"`)

	// Bytes that arrive with the handshake are not lost.
	echo := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		p := make([]byte, 5)
		_, _ = io.ReadFull(rw, p)
		_, _ = conn.Write(compile(ws.NewBinaryFrame(p)))
	})
	c := wstest.HandshakeHandler(t, echo, wstest.Request(t, "/"), []byte("early"), wstest.Memory{})
	c.ExpectBinary([]byte("early"))
}

// The server is configured by the test and runs in a bubble.
func TestListenServesHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := wstest.Listen(1)
		srv := &http.Server{Handler: scriptHandler(wstest.Accept), IdleTimeout: time.Minute}
		served := make(chan error, 1)
		go func() { served <- srv.Serve(ln) }()
		client := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return ln.Dial() }}}
		res, err := client.Get("http://example.com/x")
		require.NoError(t, err)
		require.Equal(t, 101, res.StatusCode)
		require.NoError(t, res.Body.Close())
		require.NoError(t, srv.Shutdown(t.Context()))
		require.ErrorIs(t, <-served, http.ErrServerClosed)
	})
}
