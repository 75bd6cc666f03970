package wstest

import (
	"bufio"
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// Patience is the time limit of a Client's calls. It is far longer than a healthy server
// needs, so that a slow machine fails no test.
const Patience = 20 * time.Second

// Key is the Sec-WebSocket-Key of every handshake of this package, and Accept is the
// matching Sec-WebSocket-Accept.
const (
	Key    = "dGhlIHNhbXBsZSBub25jZQ=="
	Accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// Client is one WebSocket connection of a test: over a socket ([Dial], [Handshake]), in
// memory ([DialHandler], [HandshakeHandler]), or over any net.Conn ([HandshakeOn]).
type Client struct {
	t        testing.TB
	conn     net.Conn
	br       *bufio.Reader
	patience time.Duration

	fragmented bool // the server is in the middle of a message
	deflate    bool // permessage-deflate was negotiated

	// Response is the server's answer to the handshake.
	Response *http.Response
}

// Request returns a valid handshake for the URL (scheme http or ws; of http://example.com
// if it is only a path). Tests may modify it to make it invalid.
func Request(t testing.TB, rawURL string) *http.Request {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatalf("wstest: %v", err)
	}
	if u.Scheme == "ws" || u.Scheme == "" {
		u.Scheme = "http"
	}
	if u.Host == "" {
		u.Host = "example.com"
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u.String(), nil)
	if err != nil {
		t.Fatalf("wstest: %v", err)
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	req.Header.Set("Sec-WebSocket-Version", "13")
	req.Header.Set("Sec-WebSocket-Key", Key)
	return req
}

// Dial connects to the URL with the headers added to the handshake. The connection is
// closed at the end of the test. Any answer except a correct 101 fails the test.
//
// With the header "Sec-WebSocket-Extensions: permessage-deflate" the server may compress:
// Text, Binary and similar methods inflate its messages. The client itself sends
// uncompressed messages.
func Dial(t testing.TB, rawURL string, header http.Header) *Client {
	t.Helper()
	req := Request(t, rawURL)
	for name, values := range header {
		req.Header[name] = values
	}
	c := Handshake(t, req, nil)
	c.mustUpgrade(rawURL)
	return c
}

// mustUpgrade fails the test unless the handshake with target succeeded.
func (c *Client) mustUpgrade(target string) {
	c.t.Helper()
	if c.Response.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(io.LimitReader(c.Response.Body, 1<<10))
		c.t.Fatalf("wstest: the handshake with %s was answered with %s: %s", target, c.Response.Status, body)
	}
	if got := c.Response.Header.Get("Sec-WebSocket-Accept"); got != Accept {
		c.t.Fatalf("wstest: Sec-WebSocket-Accept is %q, want %q", got, Accept)
	}
}

// Handshake sends the request and, in the same segment, the bytes of early. It reads the
// answer and accepts any status.
func Handshake(t testing.TB, req *http.Request, early []byte) *Client {
	t.Helper()
	conn, err := net.DialTimeout("tcp", req.URL.Host, Patience)
	if err != nil {
		t.Fatalf("wstest: %v", err)
	}
	return HandshakeOn(t, conn, req, early)
}

// HandshakeOn is Handshake on an existing connection, for example one over TLS or through a
// proxy. The connection is closed at the end of the test.
func HandshakeOn(t testing.TB, conn net.Conn, req *http.Request, early []byte) *Client {
	t.Helper()
	return handshake(t, conn, req, early, 0)
}

func handshake(t testing.TB, conn net.Conn, req *http.Request, early []byte, patience time.Duration) *Client {
	t.Helper()
	if patience == 0 {
		patience = Patience
	}
	t.Cleanup(func() { _ = conn.Close() }) // may be closed already
	var buf bytes.Buffer
	if err := req.Write(&buf); err != nil {
		t.Fatalf("wstest: %v", err)
	}
	buf.Write(early)
	c := &Client{t: t, conn: conn, br: bufio.NewReader(conn), patience: patience}
	c.SendRaw(buf.Bytes())
	c.deadline()
	res, err := http.ReadResponse(c.br, req)
	if err != nil {
		t.Fatalf("wstest: reading the answer to the handshake: %v", err)
	}
	c.Response = res
	c.deflate = strings.HasPrefix(res.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate")
	return c
}

// Conn returns the underlying socket, or the client's end of a [Pipe].
func (c *Client) Conn() net.Conn { return c.conn }

func (c *Client) deadline() { _ = c.conn.SetDeadline(time.Now().Add(c.patience)) } // a closed socket reports an error when it is used

// Frame returns a masked frame, as a client must send it.
func Frame(op ws.OpCode, fin bool, payload []byte) []byte {
	f := ws.NewFrame(op, fin, append([]byte(nil), payload...))
	return ws.MustCompileFrame(ws.MaskFrameInPlace(f))
}

// SendRaw writes bytes unchanged; all other sending methods use it. The test fails if the
// bytes are not accepted within the time limit, or if the client has closed its own end. It
// does not fail if the server ends the connection meanwhile, because a client usually can't
// know that: the next read returns the server's last frames and the way the connection
// ended.
func (c *Client) SendRaw(p []byte) {
	c.t.Helper()
	c.deadline()
	_, err := c.conn.Write(p)
	switch {
	case err == nil:
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed):
		c.t.Fatalf("wstest: sending: %v", err)
	default:
		c.t.Logf("wstest: sending, after the server ended the connection: %v", err)
	}
}

// SendText sends a text message.
func (c *Client) SendText(s string) {
	c.t.Helper()
	c.SendRaw(Frame(ws.OpText, true, []byte(s)))
}

// SendBinary sends a binary message.
func (c *Client) SendBinary(p []byte) {
	c.t.Helper()
	c.SendRaw(Frame(ws.OpBinary, true, p))
}

// SendPing sends a ping.
func (c *Client) SendPing(p []byte) {
	c.t.Helper()
	c.SendRaw(Frame(ws.OpPing, true, p))
}

// SendPong sends a pong.
func (c *Client) SendPong(p []byte) {
	c.t.Helper()
	c.SendRaw(Frame(ws.OpPong, true, p))
}

// SendClose sends a close frame, without a payload if code is 0.
func (c *Client) SendClose(code int, reason string) {
	c.t.Helper()
	var body []byte
	if code != 0 {
		body = ws.NewCloseFrameBody(ws.StatusCode(code), reason)
	}
	c.SendRaw(Frame(ws.OpClose, true, body))
}

// ReadFrame reads the next frame of any kind. It returns an error only for actions of the
// other side, for example io.EOF if the connection ended between frames. The payload is
// unchanged: it is compressed if Header.Rsv1 is set (see [Dial]).
func (c *Client) ReadFrame() (ws.Frame, error) {
	c.t.Helper()
	c.deadline()
	h, err := ws.ReadHeader(c.br)
	if err != nil {
		return ws.Frame{}, err
	}
	state := ws.StateClientSide
	if c.fragmented {
		state = state.Set(ws.StateFragmented)
	}
	check := h
	if c.deflate && h.Rsv1() && (h.OpCode == ws.OpText || h.OpCode == ws.OpBinary) {
		check.Rsv = ws.Rsv(false, h.Rsv2(), h.Rsv3())
	}
	if err := ws.CheckHeader(check, state); err != nil {
		c.t.Fatalf("wstest: the server sent a bad frame: %v", err)
	}
	if !h.OpCode.IsControl() {
		c.fragmented = !h.Fin
	}
	payload := make([]byte, h.Length)
	if _, err := io.ReadFull(c.br, payload); err != nil {
		return ws.Frame{}, fmt.Errorf("in the middle of a frame: %w", io.ErrUnexpectedEOF)
	}
	return ws.Frame{Header: h, Payload: payload}, nil
}

// next reads the next frame that is not a ping, and answers pings.
func (c *Client) next() (ws.Frame, error) {
	c.t.Helper()
	for {
		f, err := c.ReadFrame()
		if err == nil && f.Header.Rsv1() && f.Header.Fin {
			f.Payload = c.inflate(f.Payload)
		}
		if err != nil || f.Header.OpCode != ws.OpPing {
			return f, err
		}
		c.SendRaw(Frame(ws.OpPong, true, f.Payload))
	}
}

// inflate returns the decompressed payload of a whole message. The payload lacks the end of
// the flush that made it (RFC 7692, section 7.2.2) and a final block.
func (c *Client) inflate(p []byte) []byte {
	c.t.Helper()
	r := flate.NewReader(io.MultiReader(bytes.NewReader(p), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")))
	plain, err := io.ReadAll(r)
	if err != nil {
		c.t.Fatalf("wstest: the server sent a message that can't be inflated: %v", err)
	}
	return plain
}

// Text reads the next message, which must be a text.
func (c *Client) Text() string {
	c.t.Helper()
	f, err := c.next()
	if err != nil {
		c.t.Fatalf("wstest: waiting for a text: %v", err)
	}
	if f.Header.OpCode == ws.OpClose {
		code, reason := ws.ParseCloseFrameData(f.Payload)
		c.t.Fatalf("wstest: waiting for a text: the server closed with %d %q", code, reason)
	}
	if f.Header.OpCode != ws.OpText || !f.Header.Fin {
		c.t.Fatalf("wstest: waiting for a text: got opcode %#x, fin %v", f.Header.OpCode, f.Header.Fin)
	}
	return string(f.Payload)
}

// ExpectText reads the next message, which must be this text.
func (c *Client) ExpectText(want string) {
	c.t.Helper()
	if got := c.Text(); got != want {
		c.t.Fatalf("wstest: got the text %q, want %q", got, want)
	}
}

// Binary reads the next message, which must be a binary one.
func (c *Client) Binary() []byte {
	c.t.Helper()
	f, err := c.next()
	if err != nil {
		c.t.Fatalf("wstest: waiting for a binary message: %v", err)
	}
	if f.Header.OpCode != ws.OpBinary || !f.Header.Fin {
		c.t.Fatalf("wstest: waiting for a binary message: got opcode %#x, fin %v", f.Header.OpCode, f.Header.Fin)
	}
	return f.Payload
}

// ExpectBinary reads the next message, which must be this binary one.
func (c *Client) ExpectBinary(want []byte) {
	c.t.Helper()
	if got := c.Binary(); !bytes.Equal(got, want) {
		c.t.Fatalf("wstest: got the bytes %q, want %q", got, want)
	}
}

// ExpectNothing waits for d. The server must not send anything meanwhile, and must keep the
// connection. Outside a testing/synctest bubble this takes real time and proves little.
func (c *Client) ExpectNothing(d time.Duration) {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(d)) // as in deadline
	defer c.deadline()
	_, err := c.br.Peek(1)
	var timeout net.Error
	switch {
	case err == nil:
		f, err := c.ReadFrame()
		c.t.Fatalf("wstest: waiting for nothing: got opcode %#x %q %v", f.Header.OpCode, f.Payload, err)
	case !errors.As(err, &timeout) || !timeout.Timeout():
		c.t.Fatalf("wstest: waiting for nothing: %v", err)
	}
}

// ExpectPing reads the next frame, which must be a ping, and returns its payload. It does
// not answer the ping: see SendPong.
func (c *Client) ExpectPing() []byte {
	c.t.Helper()
	f, err := c.ReadFrame()
	if err != nil {
		c.t.Fatalf("wstest: waiting for a ping: %v", err)
	}
	if f.Header.OpCode != ws.OpPing {
		c.t.Fatalf("wstest: got opcode %#x %q, want a ping", f.Header.OpCode, f.Payload)
	}
	return f.Payload
}

// ExpectPong reads the next frame, which must be a pong with this payload.
func (c *Client) ExpectPong(want []byte) {
	c.t.Helper()
	f, err := c.ReadFrame()
	if err != nil {
		c.t.Fatalf("wstest: waiting for a pong: %v", err)
	}
	if f.Header.OpCode != ws.OpPong || !bytes.Equal(f.Payload, want) {
		c.t.Fatalf("wstest: got opcode %#x %q, want a pong %q", f.Header.OpCode, f.Payload, want)
	}
}

// ExpectClose reads until the server's close frame and skips messages. It checks the code
// (1005 stands for a close frame without one), answers the frame unless the client has sent
// one before, and checks that the server ends the connection. It returns the reason.
func (c *Client) ExpectClose(code int) string {
	c.t.Helper()
	for {
		f, err := c.next()
		if err != nil {
			c.t.Fatalf("wstest: waiting for a close frame with %d: %v", code, err)
		}
		if f.Header.OpCode != ws.OpClose {
			continue
		}
		got, reason := ws.StatusNoStatusRcvd, ""
		if len(f.Payload) > 0 {
			got, reason = ws.ParseCloseFrameData(f.Payload)
		}
		if int(got) != code {
			c.t.Fatalf("wstest: the server closed with %d %q, want %d", got, reason, code)
		}
		// The server may have closed the connection already; then the answer is lost.
		_, _ = c.conn.Write(Frame(ws.OpClose, true, f.Payload))
		c.ExpectEOF()
		return reason
	}
}

// ExpectEOF checks that the server has ended the connection and sends nothing more. It then
// ends the client's direction too, as clients do.
func (c *Client) ExpectEOF() {
	c.t.Helper()
	c.deadline()
	p, err := io.ReadAll(c.br)
	if len(p) > 0 {
		c.t.Fatalf("wstest: %d bytes after the close frame", len(p))
	}
	// The answer above may have crossed the end: a reset is an end too.
	if err != nil && !isReset(err) {
		c.t.Fatalf("wstest: waiting for the end of the connection: %v", err)
	}
	if conn, ok := c.conn.(interface{ CloseWrite() error }); ok {
		_ = conn.CloseWrite() // may be closed already
	}
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && strings.Contains(op.Err.Error(), "reset")
}

// Kill ends the connection with a reset and without a close frame.
func (c *Client) Kill() {
	switch conn := c.conn.(type) {
	case *net.TCPConn:
		_ = conn.SetLinger(0) // if it fails, the close is graceful, which ends the connection too
	case interface{ Reset() }: // a PipeConn, or a wrapper around one
		conn.Reset()
	}
	_ = c.conn.Close()
}
