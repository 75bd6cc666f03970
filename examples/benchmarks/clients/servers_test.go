package clients

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
	"github.com/lxzan/gws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// Echo servers of other libraries that compress if the client has offered it. Each handler
// reports an error unless its connection ends with a close handshake.

func gorillaEcho(t *testing.T) http.Handler {
	up := gorilla.Upgrader{EnableCompression: true}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		for {
			typ, p, err := c.ReadMessage()
			if err == nil {
				err = c.WriteMessage(typ, p)
			}
			if err != nil {
				if !gorilla.IsCloseError(err, gorilla.CloseNormalClosure) {
					t.Error(err)
				}
				return
			}
		}
	})
}

func coderEcho(t *testing.T, mode coder.CompressionMode) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := coder.Accept(w, r, &coder.AcceptOptions{CompressionMode: mode, CompressionThreshold: 1})
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = c.CloseNow() }() // the handler has returned
		c.SetReadLimit(1 << 20)
		for {
			typ, p, err := c.Read(r.Context())
			if err == nil {
				err = c.Write(r.Context(), typ, p)
			}
			if err != nil {
				if coder.CloseStatus(err) != coder.StatusNormalClosure {
					t.Error(err)
				}
				return
			}
		}
	})
}

// gwsEcho handles the events of a gws server.
type gwsEcho struct {
	gws.BuiltinEventHandler
	t *testing.T
}

func (e *gwsEcho) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	if err := c.WriteMessage(m.Opcode, m.Bytes()); err != nil {
		e.t.Error(err)
	}
}

func gwsHandler(t *testing.T, pd gws.PermessageDeflate) http.Handler {
	up := gws.NewUpgrader(&gwsEcho{t: t}, &gws.ServerOption{PermessageDeflate: pd, CheckUtf8Enabled: true})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := up.Upgrade(w, r)
		if err != nil {
			t.Error(err)
			return
		}
		c.ReadLoop()
	})
}

// Our client receives its echoes from each server, compressed if both sides support it.
func TestServersWithCompression(t *testing.T) {
	gwsDeflate := gws.PermessageDeflate{Enabled: true, Threshold: 1}
	gwsContext := gwsDeflate
	gwsContext.ServerContextTakeover, gwsContext.ClientContextTakeover = true, true
	gwsContext.ServerMaxWindowBits, gwsContext.ClientMaxWindowBits = 15, 15
	for _, tt := range []struct {
		name       string
		server     http.Handler
		compresses bool
	}{
		{"gorilla", gorillaEcho(t), true},
		{"coder, no context takeover", coderEcho(t, coder.CompressionNoContextTakeover), true},
		{"coder, context takeover", coderEcho(t, coder.CompressionContextTakeover), true},
		{"coder, off", coderEcho(t, coder.CompressionDisabled), false},
		{"gws", gwsHandler(t, gwsDeflate), true},
		{"gws, context takeover", gwsHandler(t, gwsContext), true},
		{"gws, off", gwsHandler(t, gws.PermessageDeflate{}), false},
	} {
		for _, driver := range []wsmanager.Driver{wsmanager.DriverAuto, wsmanager.DriverGoroutine} {
			for _, compress := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/%v/compress=%v", tt.name, driver, compress), func(t *testing.T) {
					srv := httptest.NewServer(tt.server)
					defer srv.Close()
					opts := wsmanager.DialOptions{Driver: driver, Logger: slog.New(slog.DiscardHandler), Compression: wsmanager.Compression{Enabled: compress}}
					got := make(chan message, 1)
					d, err := wsmanager.NewDialer(srv.URL, wsmanager.Callbacks{
						OnMessage: func(_ *wsmanager.Conn, m wsmanager.Message) error {
							got <- message{m.Type == wsmanager.TextMessage, bytes.Clone(m.Payload)}
							return nil
						},
					}, opts)
					require.NoError(t, err)
					defer func() { require.NoError(t, d.Manager().Shutdown(context.Background())) }()
					plain := 0
					for range 3 {
						c, err := d.Dial(t.Context())
						require.NoError(t, err)
						for _, msg := range messages() {
							out := wsmanager.Message{Type: wsmanager.BinaryMessage, Payload: msg.p}
							if msg.text {
								out.Type = wsmanager.TextMessage
							}
							require.NoError(t, c.SendContext(t.Context(), out))
							select {
							case echo := <-got:
								require.Equal(t, msg.text, echo.text)
								require.True(t, bytes.Equal(msg.p, echo.p), "%d bytes", len(msg.p))
							case <-time.After(wstest.Patience):
								t.Fatal("no echo arrived")
							}
							plain += len(msg.p)
						}
						require.NoError(t, c.Close(wsmanager.StatusNormalClosure, ""))
						<-c.Context().Done()
					}
					s := d.Manager().Stats()
					t.Logf("%d bytes of messages, %d up, %d down", plain, s.BytesOut, s.BytesIn)
					require.Eventually(t, func() bool { return d.Manager().Stats().Closed[1000] == 3 }, wstest.Patience, time.Millisecond)
					if !compress || !tt.compresses {
						require.Zero(t, s.Compressed)
						return
					}
					require.EqualValues(t, 3, s.Compressed.Accepted)
					require.GreaterOrEqual(t, s.Compressed.In, uint64(3*5))
					require.GreaterOrEqual(t, s.Compressed.Out, uint64(3*5))
					require.Less(t, s.BytesOut, uint64(plain/4))
					require.Less(t, s.BytesIn, uint64(plain/4))
				})
			}
		}
	}
}

// With context takeover gws limits the window of its clients to 12 bits, even if they have
// not offered that, which RFC 7692 section 7.1.2.2 forbids. Our client rejects the answer.
func TestServerThatBoundsOurWindow(t *testing.T) {
	srv := httptest.NewServer(gwsHandler(t, gws.PermessageDeflate{Enabled: true, ServerContextTakeover: true, ClientContextTakeover: true}))
	defer srv.Close()
	var opts wsmanager.DialOptions
	opts.Compression.Enabled = true
	_, err := wsmanager.Dial(t.Context(), srv.URL, wsmanager.Callbacks{}, opts)
	require.ErrorIs(t, err, wsmanager.ErrHandshake)
	require.ErrorContains(t, err, `"client_max_window_bits", which was not offered`)
}
