//go:build unix

package operations_test

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// Of the three only HAProxy takes WebSockets over HTTP/2 (RFC 8441), and asks us with
// HTTP/1.1. With the others browsers open a connection of HTTP/1.1 for them.
//
//nolint:staticcheck // net/http's own client refuses :protocol
func TestSocketsOverHTTP2(t *testing.T) {
	for _, p := range proxies {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			addr := p.start(t, s.addr)
			cc, err := (&http2.Transport{}).NewClientConn(dial(t, addr, "h2"))
			require.NoError(t, err)
			defer cc.Close()

			ctx, cancel := context.WithTimeout(t.Context(), wstest.Patience)
			defer cancel()
			body, up := io.Pipe()
			req, err := http.NewRequestWithContext(ctx, http.MethodConnect, "https://"+host+"/ws", body)
			require.NoError(t, err)
			req.Header[":protocol"] = []string{"websocket"}
			req.Header.Set("Sec-WebSocket-Version", "13")
			req.Header.Set("Origin", "https://"+host)
			res, err := cc.RoundTrip(req)
			if p.name != "haproxy" {
				require.ErrorContains(t, err, "extended connect not supported by peer")
				return
			}
			require.NoError(t, err)
			defer res.Body.Close()
			require.Equal(t, http.StatusOK, res.StatusCode)
			message := func() string {
				for {
					f, err := ws.ReadFrame(res.Body)
					require.NoError(t, err)
					if f.Header.OpCode == ws.OpText {
						return string(f.Payload)
					}
				}
			}
			require.Equal(t, welcome, message())
			_, err = up.Write(wstest.Frame(ws.OpText, true, []byte("hello")))
			require.NoError(t, err)
			require.Equal(t, "hello", message())
			_, err = up.Write(wstest.Frame(ws.OpClose, true, ws.NewCloseFrameBody(1000, "")))
			require.NoError(t, err)
			require.NoError(t, up.Close()) // a pipe's end
			require.NoError(t, <-s.closed)
		})
	}
}
