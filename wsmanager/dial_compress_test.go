package wsmanager_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// Valid answers of a server to our offer, and answers that fail the handshake (RFC 6455,
// section 4.1; RFC 7692, sections 5.1 and 7.1).
func TestDialCompressionAnswers(t *testing.T) { onSocketDrivers(t, testDialCompressionAnswers) }

func testDialCompressionAnswers(t *testing.T) {
	const asked = "permessage-deflate; server_no_context_takeover"
	for _, tt := range []struct {
		name   string
		answer []string // values of Sec-WebSocket-Extensions
		agreed bool
		err    string
	}{
		{"none", nil, false, ""},
		{"an empty one", []string{""}, false, ""},
		{"as offered", []string{asked}, true, ""},
		{"both contexts", []string{asked + "; client_no_context_takeover"}, true, ""},
		{"in the other order, without spaces", []string{"permessage-deflate;client_no_context_takeover;server_no_context_takeover"}, true, ""},
		{"the server's window, the biggest", []string{asked + "; server_max_window_bits=15"}, true, ""},
		{"the server's window, the smallest", []string{asked + "; server_max_window_bits=8"}, true, ""},
		{"the server's window, quoted", []string{asked + `; server_max_window_bits="10"`}, true, ""},

		{"with the server's context", []string{"permessage-deflate"}, false, "lacks server_no_context_takeover"},
		{"with the server's context, without ours", []string{"permessage-deflate; client_no_context_takeover"}, false, "lacks server_no_context_takeover"},
		{"our window, which was not offered", []string{asked + "; client_max_window_bits=15"}, false, `"client_max_window_bits", which was not offered`},
		{"our window, small", []string{asked + "; client_max_window_bits=9"}, false, "not offered"},
		{"our window, without bits", []string{asked + "; client_max_window_bits"}, false, "not offered"},
		{"the server's window without bits", []string{asked + "; server_max_window_bits"}, false, "bad server_max_window_bits"},
		{"the server's window, too small", []string{asked + "; server_max_window_bits=7"}, false, "bad server_max_window_bits"},
		{"the server's window, too big", []string{asked + "; server_max_window_bits=16"}, false, "bad server_max_window_bits"},
		{"the server's window with a leading zero", []string{asked + "; server_max_window_bits=08"}, false, "bad server_max_window_bits"},
		{"a context with a value", []string{"permessage-deflate; server_no_context_takeover=1"}, false, "bad server_no_context_takeover"},
		{"our context with a value", []string{asked + "; client_no_context_takeover=yes"}, false, "bad client_no_context_takeover"},
		{"an unknown parameter", []string{asked + "; x=1"}, false, `"x", which was not offered`},
		{"a context twice", []string{asked + "; server_no_context_takeover"}, false, "bad server_no_context_takeover"},
		{"a window twice", []string{asked + "; server_max_window_bits=10; server_max_window_bits=10"}, false, "bad server_max_window_bits"},
		{"the extension twice", []string{asked + ", " + asked}, false, "twice"},
		{"two lines", []string{asked, asked}, false, "twice"},
		{"another extension", []string{"x-webkit-deflate-frame"}, false, ""},
		{"another extension after it", []string{asked + ", x-mux"}, false, ""},
		{"another extension before it", []string{"x-mux, " + asked}, false, ""},
		{"another extension in a line of its own", []string{asked, "x-mux"}, false, ""},
		{"no name", []string{"; server_no_context_takeover"}, false, ""},
		{"no parameter", []string{asked + ";"}, false, ""},
		{"no value", []string{asked + "; server_max_window_bits="}, false, ""},
		{"a quote that does not end", []string{asked + `; server_max_window_bits="10`}, false, ""},
		{"another spelling of the name", []string{"Permessage-Deflate; server_no_context_takeover"}, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ended := make(chan struct{})
			url := rawServer(t, func(conn net.Conn, accept string) {
				head := switching + accept + "\r\n"
				for _, line := range tt.answer {
					head += "Sec-WebSocket-Extensions: " + line + "\r\n"
				}
				// The first message arrives together with the handshake response.
				frame := ws.NewTextFrame([]byte("plain"))
				if tt.agreed {
					frame = ws.NewTextFrame(deflate(t, []byte("compressed"), 9))
					frame.Header.Rsv = ws.Rsv(true, false, false)
				}
				var b bytes.Buffer
				b.WriteString(head + "\r\n")
				_ = ws.WriteFrame(&b, frame)
				_, _ = conn.Write(b.Bytes())
				_, _ = io.Copy(io.Discard, conn)
				close(ended)
			})
			opts := dialOptions(compressing())
			opts.Timeouts.Close = time.Millisecond // the raw server does not answer the close frame
			got := make(chan string, 1)
			d := newDialer(t, url, wsmanager.Callbacks{
				OnMessage: func(_ *wsmanager.Conn, m wsmanager.Message) error { got <- string(m.Payload); return nil },
			}, opts)
			_, err := d.Dial(t.Context())
			switch {
			case tt.agreed:
				require.NoError(t, err)
				require.Equal(t, "compressed", receive(t, got))
				require.EqualValues(t, 1, d.Manager().Stats().Compressed.Accepted)
			case len(tt.answer) == 0 || tt.answer[0] == "":
				require.NoError(t, err)
				require.Equal(t, "plain", receive(t, got))
				require.Zero(t, d.Manager().Stats().Compressed)
			default:
				require.ErrorIs(t, err, wsmanager.ErrHandshake)
				require.ErrorContains(t, err, tt.err)
				require.False(t, wsmanager.Retryable(err))
				require.Zero(t, d.Manager().Stats().Accepted)
				receive(t, ended)
			}
			_ = d.Manager().Shutdown(t.Context()) // the raw server does not answer the close frame
		})
	}
}

// The client offers compression only if it is enabled, and in the form of RFC 7692.
func TestDialCompressionOffer(t *testing.T) { onSocketDrivers(t, testDialCompressionOffer) }

func testDialCompressionOffer(t *testing.T) {
	offers := make(chan []string, 1)
	m := wsmanager.MustNew(echoing, onDriver(t, compressing()))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		offers <- r.Header["Sec-Websocket-Extensions"]
		m.ServeHTTP(w, r)
	}))
	defer srv.Close()
	defer shutdown(t, m)
	connect(t, srv.URL, wsmanager.Callbacks{}, dialOptionsWithoutLog())
	require.Empty(t, receive(t, offers))
	connect(t, srv.URL, wsmanager.Callbacks{}, dialOptions(compressing()))
	offer := receive(t, offers)
	require.Len(t, offer, 1)
	params := strings.Split(offer[0], ";")
	for i := range params {
		params[i] = strings.TrimSpace(params[i])
	}
	require.Equal(t, "permessage-deflate", params[0])
	require.ElementsMatch(t, []string{"server_no_context_takeover", "client_no_context_takeover"}, params[1:])
	require.Eventually(t, func() bool { return m.Stats().Compressed.Accepted == 1 }, wstest.Patience, time.Millisecond)
}

// All send methods of a client and the echoes, with compression on either or both sides,
// over TCP and TLS.
func TestDialCompressedEchoes(t *testing.T) { onSocketDrivers(t, testDialCompressedEchoes) }

func testDialCompressedEchoes(t *testing.T) {
	for _, scheme := range []string{"ws", "wss"} {
		for name, sides := range map[string]struct{ server, client wsmanager.Options }{
			"both":   {bigCompressing(), bigCompressing()},
			"server": {bigCompressing(), big()},
			"client": {big(), bigCompressing()},
		} {
			t.Run(scheme+" "+name, func(t *testing.T) {
				m := wsmanager.MustNew(wsmanager.Callbacks{
					OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.SendContext(c.Context(), m) },
				}, onDriver(t, sides.server))
				opts := dialOptions(sides.client)
				srv := start(t, m, func(srv *httptest.Server) {
					if scheme == "wss" {
						srv.StartTLS()
					}
				})
				if scheme == "wss" {
					opts.Network.TLS = srv.Client().Transport.(*http.Transport).TLSClientConfig
				}
				got := make(chan []byte, 10)
				c := connect(t, srv.URL, wsmanager.Callbacks{
					OnMessage: func(_ *wsmanager.Conn, m wsmanager.Message) error { got <- bytes.Clone(m.Payload); return nil },
				}, opts)
				for _, d := range data {
					for _, size := range []int{0, 1, 100, 1000, 70_000, 128 << 10} {
						msg := wsmanager.Message{Type: wsmanager.MessageType(d.op), Payload: d.make(size)}
						p := wsmanager.Prepare(msg)
						require.NoError(t, c.Send(msg))
						require.NoError(t, c.SendContext(t.Context(), msg))
						require.NoError(t, c.SendPrepared(p))
						require.NoError(t, c.SendPreparedContext(t.Context(), p))
						require.Equal(t, wsmanager.Sent{Queued: 1}, c.Manager().Broadcast(msg))
						for range 5 {
							require.True(t, bytes.Equal(msg.Payload, receive(t, got)), "%s of %d bytes", d.name, size)
						}
					}
				}
				client, server := c.Manager().Stats().Compressed, m.Stats().Compressed
				if name != "both" {
					require.Zero(t, client)
					require.Zero(t, server)
					return
				}
				require.EqualValues(t, 1, client.Accepted) // both handshakes have ended: the echoes have arrived
				require.EqualValues(t, 1, server.Accepted)
				require.Greater(t, client.Saved, uint64(1_000_000))
				require.Equal(t, client.In, server.In, "echo and message have the same compressed size")
			})
		}
	}
}

// big returns quiet options with room for the biggest echoes.
func big() wsmanager.Options {
	opts := bigCompressing()
	opts.Compression = wsmanager.Compression{}
	return opts
}

// A client masks its frames. It compresses messages from the threshold on, unless the
// message forbids it or does not shrink.
func TestDialCompressionOnTheWire(t *testing.T) { onSocketDrivers(t, testDialCompressionOnTheWire) }

func testDialCompressionOnTheWire(t *testing.T) {
	long := repeat("again and again ", 100)
	frames := make(chan ws.Frame, 10)
	url := rawServer(t, func(conn net.Conn, accept string) {
		_, _ = io.WriteString(conn, switching+accept+"\r\nSec-WebSocket-Extensions: "+agreed+"\r\n\r\n")
		for {
			f, err := ws.ReadFrame(conn) //nolint:staticcheck // a frame of our own client
			if err != nil {
				return
			}
			frames <- f
		}
	})
	opts := dialOptions(optionsWithoutLog())
	opts.Compression.Enabled = true
	opts.Timeouts.Close = time.Millisecond // the raw server does not answer the close frame
	c := connect(t, url, wsmanager.Callbacks{}, opts)
	plain := wsmanager.Text(long)
	plain.NoCompression = true
	for name, tt := range map[string]struct {
		msg        wsmanager.Message
		compressed bool
	}{
		"short":         {wsmanager.Text(long[:511]), false},
		"at the limit":  {wsmanager.Text(long[:512]), true},
		"long":          {wsmanager.Text(long), true},
		"NoCompression": {plain, false},
		"noise":         {wsmanager.Binary(noise(5000)), false},
		"long and many": {wsmanager.Binary([]byte(repeat(long, 30))), true},
	} {
		p := wsmanager.Prepare(tt.msg)
		for how, send := range map[string]func() error{
			"Send":         func() error { return c.Send(tt.msg) },
			"SendPrepared": func() error { return c.SendPrepared(p) },
			"again":        func() error { return c.SendPrepared(p) },
			"Broadcast":    func() error { c.Manager().Broadcast(tt.msg); return nil },
		} {
			require.NoError(t, send())
			f := receive(t, frames)
			require.True(t, f.Header.Masked)
			require.True(t, f.Header.Fin)
			require.Equal(t, ws.OpCode(tt.msg.Type), f.Header.OpCode)
			payload := ws.UnmaskFrame(f).Payload
			require.Equal(t, tt.compressed, f.Header.Rsv1(), "%s, %s", name, how)
			if tt.compressed {
				require.Less(t, len(payload), len(tt.msg.Payload)/4)
				payload = inflate(t, payload)
			}
			require.True(t, bytes.Equal(tt.msg.Payload, payload), "%s, %s", name, how)
		}
	}
}

// A Dialer compresses a broadcast once for all its connections.
func TestDialerCompressesABroadcastOnce(t *testing.T) {
	onSocketDrivers(t, testDialerCompressesABroadcastOnce)
}

func testDialerCompressesABroadcastOnce(t *testing.T) {
	const n = 20
	var got atomic.Int64
	server, url := serve(t, wsmanager.Callbacks{
		OnMessage: func(_ *wsmanager.Conn, m wsmanager.Message) error { got.Add(int64(len(m.Payload))); return nil },
	}, compressing(), nil)
	d := newDialer(t, url, wsmanager.Callbacks{}, dialOptions(compressing()))
	for range n {
		_, err := d.Dial(t.Context())
		require.NoError(t, err)
	}
	require.Equal(t, wsmanager.Sent{Queued: n}, d.Manager().Broadcast(wsmanager.Text(repeat("all ", 1000))))
	require.Eventually(t, func() bool { return got.Load() == n*4000 }, wstest.Patience, time.Millisecond)
	require.EqualValues(t, 1, d.Manager().Stats().Compressed.Out)
	require.EqualValues(t, n, server.Stats().Compressed.In)
	require.Less(t, d.Manager().Stats().BytesOut, uint64(n*200))
}

// Unsent messages of a Client are sent in the form that each connection has negotiated.
func TestClientCompressesForEachConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemory()
		opts := net.options()
		opts.Compression = wsmanager.Compression{Enabled: true, Threshold: 100}
		cl, err := wsmanager.NewClient("ws://example.com", wsmanager.Callbacks{}, opts)
		require.NoError(t, err)
		long := repeat("again and again ", 100)
		plain := wsmanager.Text(long)
		plain.NoCompression = true
		send := func() {
			t.Helper()
			require.NoError(t, cl.Send(wsmanager.Text(long)))
			require.NoError(t, cl.SendPrepared(wsmanager.Prepare(wsmanager.Text(long))))
			require.NoError(t, cl.Send(plain))
			require.NoError(t, cl.SendPrepared(wsmanager.Prepare(plain)))
			require.NoError(t, cl.Send(wsmanager.Text("short")))
		}
		send()
		done := make(chan error, 1)
		go func() { done <- cl.Run(context.Background()) }()
		for round, agrees := range []bool{true, false, true} {
			conn := receive(t, net.conns)
			up := ws.Upgrader{}
			if agrees {
				up.Negotiate = (&wsflate.Extension{Parameters: wsflate.Parameters{ServerNoContextTakeover: true}}).Negotiate
			}
			_, err := up.Upgrade(conn)
			require.NoError(t, err)
			if round == 1 {
				send() // sent after the messages that are queued already
			}
			want := []struct {
				text       string
				compressed bool
			}{{long, agrees}, {long, agrees}, {long, false}, {long, false}, {"short", false}}
			for range map[bool]int{false: 1, true: 2}[round == 1] {
				for _, w := range want {
					f, err := ws.ReadFrame(conn) //nolint:staticcheck // a frame of our own client
					require.NoError(t, err)
					payload := ws.UnmaskFrame(f).Payload
					require.Equal(t, w.compressed, f.Header.Rsv1())
					if w.compressed {
						payload = inflate(t, payload)
					}
					require.Equal(t, w.text, string(payload))
				}
			}
			synctest.Wait()
			require.Zero(t, cl.Unsent())
			if round == 2 {
				require.NoError(t, cl.Close(wsmanager.StatusNormalClosure, ""))
				go func() { _, _ = io.Copy(io.Discard, conn) }()
				break
			}
			require.NoError(t, conn.Close())
			synctest.Wait()
			send()
			if round == 1 {
				require.Equal(t, 5, cl.Unsent())
			}
		}
		require.NoError(t, <-done)
	})
}

// Messages that are damaged, or too big when inflated, end a client's connection in the
// same way as a server's.
func TestDialBadCompressedMessages(t *testing.T) { onSocketDrivers(t, testDialBadCompressedMessages) }

func testDialBadCompressedMessages(t *testing.T) {
	for name, tt := range map[string]struct {
		payload []byte
		code    ws.StatusCode
	}{
		"damaged":      {[]byte("\xff\xff\xff"), 1007},
		"too big":      {deflate(t, make([]byte, 1<<20), 9), 1009},
		"invalid text": {deflate(t, []byte("\xff\xfe"), 9), 1007},
		"complete":     {deflate(t, []byte("fine"), 9), 1000},
	} {
		t.Run(name, func(t *testing.T) {
			code := make(chan ws.StatusCode, 1)
			url := rawServer(t, func(conn net.Conn, accept string) {
				_, _ = io.WriteString(conn, switching+accept+"\r\nSec-WebSocket-Extensions: "+agreed+"\r\n\r\n")
				f := ws.NewTextFrame(tt.payload)
				f.Header.Rsv = ws.Rsv(true, false, false)
				_ = ws.WriteFrame(conn, f)
				answer, err := ws.ReadFrame(conn) //nolint:staticcheck // a frame of our own client
				if err == nil {
					c, _ := ws.ParseCloseFrameData(ws.UnmaskFrame(answer).Payload)
					code <- c
				}
				close(code)
			})
			opts := dialOptions(compressing())
			connect(t, url, wsmanager.Callbacks{OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
				require.Equal(t, "fine", string(m.Payload))
				return c.Close(wsmanager.StatusNormalClosure, "")
			}}, opts)
			require.Equal(t, tt.code, receive(t, code))
		})
	}
}
