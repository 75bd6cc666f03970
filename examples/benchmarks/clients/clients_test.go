package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
	"github.com/lxzan/gws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestMain(m *testing.M) { wstest.Main(m) }

// client is a connection of another library.
type client interface {
	send(text bool, p []byte) error
	read() (text bool, p []byte, err error)
	close() error // sends a close frame with 1000 and waits for the end
}

// counted is a socket that counts its bytes.
type counted struct {
	net.Conn
	in, out *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.in.Add(int64(n))
	return n, err
}

func (c counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.out.Add(int64(n))
	return n, err
}

// dialer opens counted sockets.
type dialer struct{ in, out atomic.Int64 }

func (d *dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return counted{conn, &d.in, &d.out}, nil
}

// Dial implements gws.Dialer.
func (d *dialer) Dial(network, addr string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, addr)
}

type gorillaClient struct{ *gorilla.Conn }

func dialGorilla(t *testing.T, url string, d *dialer) (client, http.Header) {
	t.Helper()
	g := gorilla.Dialer{EnableCompression: true, NetDialContext: d.DialContext}
	c, res, err := g.DialContext(t.Context(), url, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() }) // the test has closed it
	return gorillaClient{c}, res.Header
}

func (c gorillaClient) send(text bool, p []byte) error {
	typ := gorilla.BinaryMessage
	if text {
		typ = gorilla.TextMessage
	}
	return c.WriteMessage(typ, p)
}

func (c gorillaClient) read() (bool, []byte, error) {
	typ, p, err := c.ReadMessage()
	return typ == gorilla.TextMessage, p, err
}

func (c gorillaClient) close() error {
	err := c.WriteMessage(gorilla.CloseMessage, gorilla.FormatCloseMessage(1000, ""))
	if err != nil {
		return err
	}
	if _, _, err = c.read(); gorilla.IsCloseError(err, 1000) {
		return nil
	}
	return fmt.Errorf("no close frame with 1000: %w", err)
}

type coderClient struct {
	*coder.Conn
	ctx context.Context
}

func dialCoder(mode coder.CompressionMode) func(*testing.T, string, *dialer) (client, http.Header) {
	return func(t *testing.T, url string, d *dialer) (client, http.Header) {
		t.Helper()
		transport := &http.Transport{DialContext: d.DialContext}
		t.Cleanup(transport.CloseIdleConnections)
		c, res, err := coder.Dial(t.Context(), url, &coder.DialOptions{
			HTTPClient: &http.Client{Transport: transport}, CompressionMode: mode, CompressionThreshold: 1,
		})
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.CloseNow() }) // the test has closed it
		c.SetReadLimit(1 << 20)
		return coderClient{c, t.Context()}, res.Header
	}
}

func (c coderClient) send(text bool, p []byte) error {
	typ := coder.MessageBinary
	if text {
		typ = coder.MessageText
	}
	return c.Write(c.ctx, typ, p)
}

func (c coderClient) read() (bool, []byte, error) {
	typ, p, err := c.Read(c.ctx)
	return typ == coder.MessageText, p, err
}

func (c coderClient) close() error { return c.Close(coder.StatusNormalClosure, "") }

// gwsClient receives messages from gws's read loop.
type gwsClient struct {
	gws.BuiltinEventHandler
	conn  *gws.Conn
	got   chan gwsMessage
	ended chan error
}

type gwsMessage struct {
	text bool
	p    []byte
}

func dialGws(pd gws.PermessageDeflate) func(*testing.T, string, *dialer) (client, http.Header) {
	return func(t *testing.T, url string, d *dialer) (client, http.Header) {
		t.Helper()
		c := &gwsClient{got: make(chan gwsMessage, 1), ended: make(chan error, 1)}
		conn, res, err := gws.NewClient(c, &gws.ClientOption{
			Addr: url, PermessageDeflate: pd, CheckUtf8Enabled: true,
			NewDialer: func() (gws.Dialer, error) { return d, nil },
		})
		require.NoError(t, err)
		c.conn = conn
		loop := make(chan struct{})
		go func() { defer close(loop); conn.ReadLoop() }()
		t.Cleanup(func() { _ = conn.NetConn().Close(); <-loop }) // the test has closed it
		return c, res.Header
	}
}

func (c *gwsClient) OnMessage(_ *gws.Conn, m *gws.Message) {
	c.got <- gwsMessage{m.Opcode == gws.OpcodeText, bytes.Clone(m.Bytes())}
	_ = m.Close()
}

func (c *gwsClient) OnClose(_ *gws.Conn, err error) { c.ended <- err }

func (c *gwsClient) send(text bool, p []byte) error {
	op := gws.OpcodeBinary
	if text {
		op = gws.OpcodeText
	}
	return c.conn.WriteMessage(op, p)
}

func (c *gwsClient) read() (bool, []byte, error) {
	select {
	case m := <-c.got:
		return m.text, m.p, nil
	case err := <-c.ended:
		return false, nil, err
	case <-time.After(wstest.Patience):
		return false, nil, errors.New("no message arrived")
	}
}

func (c *gwsClient) close() error { return c.conn.WriteClose(1000, nil) }

type message struct {
	text bool
	p    []byte
}

// messages returns messages that compress well, except for the last.
func messages() []message {
	rows := func(n int) []byte {
		var all []map[string]any
		for i := range n {
			all = append(all, map[string]any{"id": i, "name": fmt.Sprintf("usér-%d", i%50), "active": i%2 == 0})
		}
		p, err := json.Marshal(all)
		if err != nil {
			panic(err)
		}
		return p
	}
	noise := make([]byte, 5000)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise)
	return []message{
		{true, nil}, {true, []byte("x")}, {true, rows(20)}, {true, rows(200)}, {true, rows(1000)},
		{false, bytes.Repeat([]byte{1, 2, 3}, 20_000)}, {true, []byte(strings.Repeat("ä", 30_000))}, {false, noise},
	}
}

// Each client receives its echoes and the broadcasts, with less than a quarter of the bytes on
// the wire.
func TestClientsWithCompression(t *testing.T) {
	for _, tt := range []struct {
		name string
		dial func(*testing.T, string, *dialer) (client, http.Header)
	}{
		{"gorilla", dialGorilla},
		{"coder, no context takeover", dialCoder(coder.CompressionNoContextTakeover)},
		{"coder, context takeover", dialCoder(coder.CompressionContextTakeover)},
		{"gws", dialGws(gws.PermessageDeflate{Enabled: true, Threshold: 1})},
		{"gws, context takeover", dialGws(gws.PermessageDeflate{Enabled: true, Threshold: 1, ServerContextTakeover: true, ClientContextTakeover: true})},
	} {
		for _, driver := range []wsmanager.Driver{wsmanager.DriverAuto, wsmanager.DriverGoroutine} {
			t.Run(fmt.Sprintf("%s/%v", tt.name, driver), func(t *testing.T) {
				m := wsmanager.MustNew(wsmanager.Callbacks{
					OnMessage: func(c *wsmanager.Conn, msg wsmanager.Message) error {
						if err := c.Send(msg); err != nil {
							return err
						}
						c.Manager().Broadcast(msg)
						return nil
					},
				}, wsmanager.Options{Driver: driver, Logger: slog.New(slog.DiscardHandler), Compression: wsmanager.Compression{Enabled: true}})
				srv := httptest.NewServer(m)
				defer srv.Close()
				defer func() { require.NoError(t, m.Shutdown(context.Background())) }()

				d := &dialer{}
				c, header := tt.dial(t, "ws"+strings.TrimPrefix(srv.URL, "http"), d)
				require.Contains(t, header.Get("Sec-WebSocket-Extensions"), "permessage-deflate")
				require.Contains(t, header.Get("Sec-WebSocket-Extensions"), "server_no_context_takeover")
				require.Contains(t, header.Get("Sec-WebSocket-Extensions"), "client_no_context_takeover")
				plain := 0
				for _, msg := range messages() {
					require.NoError(t, c.send(msg.text, msg.p))
					for range 2 {
						text, p, err := c.read()
						require.NoError(t, err)
						require.Equal(t, msg.text, text)
						require.True(t, bytes.Equal(msg.p, p), "%d bytes", len(msg.p))
					}
					plain += len(msg.p)
				}
				t.Logf("%d bytes of messages, %d up, %d down", plain, d.out.Load(), d.in.Load())
				require.Less(t, d.out.Load(), int64(plain/4))
				require.Less(t, d.in.Load(), int64(2*plain/4))
				s := m.Stats()
				require.EqualValues(t, 1, s.Compressed.Accepted)
				require.GreaterOrEqual(t, s.Compressed.In, uint64(5))
				require.GreaterOrEqual(t, s.Compressed.Out, uint64(10))
				require.NoError(t, c.close())
			})
		}
	}
}
