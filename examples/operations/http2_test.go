//go:build unix

package operations_test

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/internal/h2test"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// Of the three proxies only HAProxy accepts WebSockets over HTTP/2 (RFC 8441); it uses
// HTTP/1.1 to the server. With the others browsers open an HTTP/1.1 connection for
// WebSockets.
func TestSocketsOverHTTP2(t *testing.T) {
	for _, p := range proxies {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			addr := p.start(t, s.addr)
			client := h2test.New(dial(t, addr, "h2"))
			defer client.Close()

			ctx, cancel := context.WithTimeout(t.Context(), wstest.Patience)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodConnect, "https://"+host+"/ws", nil)
			require.NoError(t, err)
			req.Header[":protocol"] = []string{"websocket"}
			req.Header.Set("Sec-WebSocket-Version", "13")
			req.Header.Set("Origin", "https://"+host)
			stream, err := client.Open(req, false)
			if p.name != "haproxy" {
				require.ErrorIs(t, err, h2test.ErrNotOffered)
				return
			}
			require.NoError(t, err)
			res, err := stream.Response()
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, res.StatusCode)
			message := func() string {
				for {
					h, err := ws.ReadHeader(stream)
					require.NoError(t, err)
					payload, err := io.ReadAll(io.LimitReader(stream, h.Length))
					require.NoError(t, err)
					if h.OpCode == ws.OpText {
						return string(payload)
					}
				}
			}
			require.Equal(t, welcome, message())
			_, err = stream.Write(wstest.Frame(ws.OpText, true, []byte("hello")))
			require.NoError(t, err)
			require.Equal(t, "hello", message())
			_, err = stream.Write(wstest.Frame(ws.OpClose, true, ws.NewCloseFrameBody(1000, "")))
			require.NoError(t, err)
			require.NoError(t, stream.CloseWrite())
			require.NoError(t, <-s.closed)
		})
	}
}
