package wsmanager_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// Answers that other clients accept are accepted. %s is the proof of the handshake. Each
// answer is followed by a text frame, which arrives.
func TestDialTolerantAnswers(t *testing.T) { onSocketDriversAtOnce(t, testDialTolerantAnswers) }

func testDialTolerantAnswers(t *testing.T) {
	const first = "HTTP/1.1 101 Switching Protocols\r\n"
	const rest = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
	for _, tt := range []struct{ name, answer, subprotocol string }{
		{"list in Connection", first + "Upgrade: websocket\r\nConnection: upgrade, keep-alive\r\nSec-WebSocket-Accept: %s\r\n\r\n", ""},
		{"token at the end of Connection", first + "Upgrade: websocket\r\nConnection: keep-alive ,\tUPGRADE\r\nSec-WebSocket-Accept: %s\r\n\r\n", ""},
		{"empty items in Connection", first + "Upgrade: websocket\r\nConnection: ,, Upgrade,\r\nSec-WebSocket-Accept: %s\r\n\r\n", ""},
		{"two lines Connection", first + "Connection: keep-alive\r\n" + rest + "\r\n", ""},
		{"two equal lines Connection", first + "Connection: Upgrade\r\n" + rest + "\r\n", ""},
		{"list in Upgrade", first + "Upgrade: h2c, WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", ""},
		{"two lines Upgrade", first + "Upgrade: WEBSOCKET\r\n" + rest + "\r\n", ""},
		{"100 before", "HTTP/1.1 100 Continue\r\n\r\n" + first + rest + "\r\n", ""},
		{"102 with a header before", "HTTP/1.1 102 Processing\r\nX: y\r\n\r\n" + first + rest + "\r\n", ""},
		{"103 before", "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\nContent-Length: 7\r\n\r\n" + first + rest + "\r\n", ""},
		{"unknown 1xx before", "HTTP/1.1 199\r\n\r\n" + first + rest + "\r\n", ""},
		{"100, 102 and 103 before", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + first + rest + "\r\n", ""},
		{"16 interim answers", strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 16) + first + rest + "\r\n", ""},
		{"empty sub-protocol", first + rest + "Sec-WebSocket-Protocol:\r\n\r\n", ""},
		{"empty sub-protocol of spaces", first + rest + "Sec-WebSocket-Protocol: \t \r\n\r\n", ""},
		{"sub-protocol twice", first + rest + "Sec-WebSocket-Protocol: b\r\nSec-WebSocket-Protocol: b\r\n\r\n", "b"},
		{"sub-protocol twice in a line", first + rest + "Sec-WebSocket-Protocol: b, b\r\n\r\n", "b"},
		{"sub-protocol and an empty one", first + rest + "Sec-WebSocket-Protocol:\r\nSec-WebSocket-Protocol: b\r\n\r\n", "b"},
		{"empty extensions", first + rest + "Sec-WebSocket-Extensions: \r\n\r\n", ""},
		{"proof twice", first + rest + "Sec-WebSocket-Accept: %s\r\n\r\n", ""},
		{"no reason", "HTTP/1.1 101 \r\n" + rest + "\r\n", ""},
		{"no reason and no space", "HTTP/1.1 101\r\n" + rest + "\r\n", ""},
		{"another reason", "HTTP/1.1 101 Web Socket Protocol Handshake\r\n" + rest + "\r\n", ""},
		{"a reason that is not ASCII", "HTTP/1.1 101 \xe4\xf6\xfc\r\n" + rest + "\r\n", ""},
		{"spaces in the status line", "HTTP/1.1   101   Switching Protocols  \r\n" + rest + "\r\n", ""},
		{"lower case version", "http/1.1 101 Switching Protocols\r\n" + rest + "\r\n", ""},
		{"HTTP/1.2", "HTTP/1.2 101 Switching Protocols\r\n" + rest + "\r\n", ""},
		{"empty lines before", "\r\n\n" + first + rest + "\r\n", ""},
		{"folded Connection", first + "Upgrade: websocket\r\nConnection: keep-alive,\r\n  Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", ""},
		{"folded after the colon", first + "Upgrade:\r\n\twebsocket\r\nConnection:\r\n \r\n Upgrade\r\nSec-WebSocket-Accept:\r\n %s\r\n\r\n", ""},
		{"folded other header", first + "X-Long: a\r\n b\r\n\tc\r\n" + rest + "\r\n", ""},
		{"folded last header", first + rest + "X-Long: a\r\n b\r\n\r\n", ""},
		{"line with spaces before the first header", first + "  X: y\r\n" + rest + "\r\n", ""},
		{"case of names", first + "UPGRADE: WebSocket\r\nconnection: uPGRADE\r\nsec-websocket-accept: %s\r\n\r\n", ""},
		{"spaces around values", first + "Upgrade:websocket\r\nConnection:  \t Upgrade \t\r\nSec-WebSocket-Accept:\t%s  \r\n\r\n", ""},
		{"spaces before colons", first + "Upgrade : websocket\r\nConnection\t: Upgrade\r\nSec-WebSocket-Accept  : %s\r\n\r\n", ""},
		{"line feeds", strings.ReplaceAll(first+rest+"\r\n", "\r\n", "\n"), ""},
		{"Content-Length", first + rest + "Content-Length: 5\r\n\r\n", ""},
		{"Content-Lengths that differ", first + rest + "Content-Length: 5\r\nContent-Length: x\r\n\r\n", ""},
		{"Transfer-Encoding", first + rest + "Transfer-Encoding: chunked\r\n\r\n", ""},
		{"unknown Transfer-Encoding", first + rest + "Transfer-Encoding: br\r\nContent-Encoding: br\r\nTrailer: X\r\n\r\n", ""},
		{"Connection: close besides", first + rest + "Connection: close\r\n\r\n", ""},
		{"other headers of the protocol", first + rest + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Origin: x\r\n\r\n", ""},
		{"names that are invalid", first + "X Y: z\r\nX(\u00fc): a\r\n b\r\n" + rest + "\r\n", ""},
		{"empty header", first + "X-Empty:\r\n" + rest + "\r\n", ""},
		{"header in Latin-1", first + "Server: \xfcber\r\n" + rest + "\r\n", ""},
	} {
		for _, compress := range []bool{false, true} {
			t.Run(tt.name+map[bool]string{true: " with compression"}[compress], func(t *testing.T) {
				end := make(chan struct{})
				url := rawServer(t, func(conn net.Conn, accept string) {
					_, _ = io.WriteString(conn, strings.ReplaceAll(tt.answer, "%s", accept)+"\x81\x02hi")
					<-end
				})
				opts := dialOptionsWithoutLog()
				opts.Handshake.Subprotocols = []string{"a", "b"}
				opts.Compression.Enabled = compress
				opts.Handshake.OnResponse = func(h http.Header) error {
					if strings.Contains(tt.answer, "X-Long") {
						require.Contains(t, []string{"a b c", "a b"}, h.Get("X-Long"))
					}
					require.NotContains(t, h, "Upgrade")
					require.NotContains(t, h, "Sec-Websocket-Accept")
					return nil
				}
				got := make(chan string, 1)
				defer close(end)
				c, err := dialAs(t.Context(), t, url, wsmanager.Callbacks{OnMessage: func(_ *wsmanager.Conn, m wsmanager.Message) error {
					got <- string(m.Payload)
					return nil
				}}, opts)
				require.NoError(t, err)
				require.Equal(t, tt.subprotocol, c.Subprotocol())
				require.Equal(t, "hi", receive(t, got))
			})
		}
	}
}

// The error of an invalid answer names the header that is wrong, and its value.
func TestDialWrongHeaders(t *testing.T) { onSocketDriversAtOnce(t, testDialWrongHeaders) }

func testDialWrongHeaders(t *testing.T) {
	const first = "HTTP/1.1 101 Switching Protocols\r\n"
	const upgrade, connection, accept = "Upgrade: websocket\r\n", "Connection: Upgrade\r\n", "Sec-WebSocket-Accept: %s\r\n"
	const other = "AAAAAAAAAAAAAAAAAAAAAAAAAAA="
	for _, tt := range []struct {
		name, answer string
		want         []string
	}{
		{"no Upgrade", first + connection + accept + "\r\n", []string{"no header Upgrade"}},
		{"empty Upgrade", first + "Upgrade:\r\n" + connection + accept + "\r\n", []string{"header Upgrade is missing or empty"}},
		{"another Upgrade", first + "Upgrade: h2c\r\n" + connection + accept + "\r\n", []string{`header Upgrade is "h2c"`, "websocket"}},
		{"Upgrade with a longer token", first + "Upgrade: websockets\r\n" + connection + accept + "\r\n", []string{`Upgrade is "websockets"`}},
		{"no Connection", first + upgrade + accept + "\r\n", []string{"no header Connection"}},
		{"another Connection", first + upgrade + "Connection: close\r\nConnection: keep-alive\r\n" + accept + "\r\n", []string{`header Connection is "close, keep-alive"`}},
		{"no proof", first + upgrade + connection + "\r\n", []string{"header Sec-WebSocket-Accept is missing"}},
		{"wrong proof", first + upgrade + connection + "Sec-WebSocket-Accept: " + other + "\r\n\r\n", []string{"Sec-WebSocket-Accept", other, "Sec-WebSocket-Key"}},
		{"proof in another case", first + upgrade + connection + "Sec-WebSocket-Accept: %l\r\n\r\n", []string{"Sec-WebSocket-Accept"}},
		{"two proofs", first + upgrade + connection + accept + "Sec-WebSocket-Accept: " + other + "\r\n\r\n", []string{"Sec-WebSocket-Accept", "different values"}},
		{"two proofs in the other order", first + upgrade + connection + "Sec-WebSocket-Accept: " + other + "\r\n" + accept + "\r\n", []string{"Sec-WebSocket-Accept", "different values"}},
		{"list of proofs", first + upgrade + connection + "Sec-WebSocket-Accept: %s, %s\r\n\r\n", []string{"Sec-WebSocket-Accept"}},
		{"another sub-protocol", first + upgrade + connection + accept + "Sec-WebSocket-Protocol: c\r\n\r\n", []string{`Sec-WebSocket-Protocol is "c"`, "not offered"}},
		{"sub-protocol in another case", first + upgrade + connection + accept + "Sec-WebSocket-Protocol: A\r\n\r\n", []string{`Sec-WebSocket-Protocol is "A"`}},
		{"two sub-protocols", first + upgrade + connection + accept + "Sec-WebSocket-Protocol: a, b\r\n\r\n", []string{`Sec-WebSocket-Protocol is "a, b"`, "different values"}},
		{"two lines of sub-protocols", first + upgrade + connection + accept + "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b\r\n\r\n", []string{"Sec-WebSocket-Protocol", "different values"}},
		{"an extension", first + upgrade + connection + accept + "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", []string{`Sec-WebSocket-Extensions is "permessage-deflate"`, "not offered"}},
		{"header without colon", first + upgrade + connection + accept + "nonsense\r\n\r\n", []string{`"nonsense"`, "no name and colon"}},

		{"no name", first + upgrade + connection + accept + ": z\r\n\r\n", []string{`": z"`, "no name and colon"}},
		{"control character", first + upgrade + connection + accept + "X-Bad: a\x00b\r\n\r\n", []string{"header X-Bad", "control character"}},
		{"carriage return", first + upgrade + connection + accept + "X-Bad: a\rUpgrade: b\r\n\r\n", []string{"header X-Bad", "control character"}},
		{"control character in a folded line", first + "X-Bad: a\r\n b\x7f\r\n" + upgrade + connection + accept + "\r\n", []string{"header X-Bad", "control character"}},
		{"status that is no number", "HTTP/1.1 OK 101\r\n\r\n", []string{`"HTTP/1.1 OK 101"`, "no status"}},
		{"status of four digits", "HTTP/1.1 1010\r\n\r\n", []string{"no status"}},
		{"no status", "HTTP/1.1\r\n\r\n", []string{"no status"}},
		{"HTTP/2", "HTTP/2 101\r\n\r\n", []string{`"HTTP/2 101"`, "HTTP/1.1"}},
		{"HTTP/1.0", "HTTP/1.0 101 Switching Protocols\r\n" + upgrade + connection + accept + "\r\n", []string{"HTTP/1.0"}},
		{"alert of TLS", "\x15\x03\x01\x00\x02\x02\x46", []string{`"\x15\x03\x01\x00\x02\x02F"`}},
		{"17 interim answers", strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 17) + first + upgrade + connection + accept + "\r\n", []string{"more than 16 interim answers"}},
		{"long interim answers", strings.Repeat("HTTP/1.1 102 Processing\r\nX: "+strings.Repeat("x", 8000)+"\r\n\r\n", 9) + first + upgrade + connection + accept + "\r\n", []string{"bigger than 65536 bytes"}},
		{"malformed interim answer", "HTTP/1.1 100 Continue\r\nnonsense\r\n\r\n" + first + upgrade + connection + accept + "\r\n", []string{`"nonsense"`}},
		{"long line", first + upgrade + connection + accept + "X-Long: " + strings.Repeat("x", 70_000), []string{"bigger than"}},
		{"folded without end", first + upgrade + connection + accept + "X-Long: x\r\n" + strings.Repeat(" x\r\n", 20_000), []string{"bigger than"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := rawServer(t, func(conn net.Conn, accept string) {
				answer := strings.ReplaceAll(tt.answer, "%s", accept)
				_, _ = io.WriteString(conn, strings.ReplaceAll(answer, "%l", swapCase(accept)))
				if tt.name != "alert of TLS" {
					_, _ = io.Copy(io.Discard, conn) // the client closes the connection
				}
			})
			opts := dialOptionsWithoutLog()
			opts.Handshake.Subprotocols = []string{"a", "b"}
			_, err := dialAs(t.Context(), t, url, wsmanager.Callbacks{}, opts)
			require.ErrorIs(t, err, wsmanager.ErrHandshake)
			for _, want := range tt.want {
				require.ErrorContains(t, err, want)
			}
			require.Less(t, len(err.Error()), 600)
		})
	}
}

// swapCase returns a string with upper and lower case letters exchanged.
func swapCase(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			return r - 'a' + 'A'
		}
		if 'A' <= r && r <= 'Z' {
			return r - 'A' + 'a'
		}
		return r
	}, s)
}

// Refusals are read with the same tolerance: an old proxy answers with HTTP/1.0.
func TestDialTolerantRefusals(t *testing.T) { onSocketDriversAtOnce(t, testDialTolerantRefusals) }

func testDialTolerantRefusals(t *testing.T) {
	for name, tt := range map[string]struct {
		answer string
		status int
		body   string
	}{
		"HTTP/1.0":           {"HTTP/1.0 503 Busy\r\nRetry-After: 7\r\n\r\nlater", 503, "later"},
		"no reason":          {"HTTP/1.1 503\r\nRetry-After: 7\r\nContent-Length: 5\r\n\r\nlater and more", 503, "later"},
		"lower case":         {"http/1.1 404 gone\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", 404, ""},
		"interim answers":    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 401 Unauthorized\r\nRetry-After: 7\r\n\r\nwho?", 401, "who?"},
		"chunks":             {"HTTP/1.1 500 Oops\r\nRetry-After:\r\n 7\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nla\r\n3\r\nter\r\n0\r\n\r\n", 500, "later"},
		"unregistered":       {"HTTP/1.1 999 Request denied\r\nRetry-After: 7\r\n\r\nno", 999, "no"},
		"only a status line": {"HTTP/1.1 502 Bad Gateway\r\n", 502, ""},
		"malformed header":   {"HTTP/1.1 502 Bad Gateway\r\nnonsense\r\n\r\n", 502, ""},
	} {
		t.Run(name, func(t *testing.T) {
			url := rawServer(t, func(conn net.Conn, _ string) { _, _ = io.WriteString(conn, tt.answer) })
			_, err := dialAs(t.Context(), t, url, wsmanager.Callbacks{}, dialOptionsWithoutLog())
			var refused *wsmanager.RefusedError
			require.ErrorAs(t, err, &refused)
			require.Equal(t, tt.status, refused.StatusCode)
			require.Equal(t, tt.body, string(refused.Body))
			if strings.Contains(tt.answer, "Retry-After") {
				require.Equal(t, "7", refused.Header.Get("Retry-After"))
			}
		})
	}
}

// A panic of OnResponse goes to the caller of Dial. The connection does not stay open.
func TestDialOnResponsePanics(t *testing.T) { onSocketDriversAtOnce(t, testDialOnResponsePanics) }

func testDialOnResponsePanics(t *testing.T) {
	ended := make(chan error, 1)
	url := rawServer(t, func(conn net.Conn, accept string) {
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 101 \r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept)
		_, err := conn.Read(make([]byte, 1))
		ended <- err
	})
	opts := dialOptionsWithoutLog()
	opts.Handshake.OnResponse = func(http.Header) error { panic("this panic is a part of a test") }
	var held net.Conn // otherwise the garbage collector may close it
	opts.Network.Dial = func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
		held, err = new(net.Dialer).DialContext(ctx, network, addr)
		return held, err
	}
	require.Panics(t, func() { _, _ = dialAs(t.Context(), t, url, wsmanager.Callbacks{}, opts) })
	require.ErrorIs(t, receive(t, ended), io.EOF)
	runtime.KeepAlive(held)
}
