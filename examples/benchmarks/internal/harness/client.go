package harness

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/gobwas/ws"
)

// Client is a cheap WebSocket client: one goroutine that reads, a small buffer, and no
// copies of messages.
type Client struct {
	Conn   net.Conn
	Reader *bufio.Reader // after the handshake; for callers that parse frames themselves

	mu sync.Mutex // serialises writes
}

// Dial connects to target, "host:port/path". configure may change the socket before the
// handshake; it may be nil.
func Dial(ctx context.Context, target string, configure func(*net.TCPConn) error) (*Client, error) {
	dialer := ws.Dialer{Timeout: time.Minute, NetDial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil && configure != nil {
			err = configure(conn.(*net.TCPConn))
		}
		return conn, err
	}}
	conn, buffered, _, err := dialer.Dial(ctx, "ws://"+target)
	if err != nil {
		return nil, err
	}
	var stream io.Reader = conn
	if buffered != nil { // it holds frames that arrived with the answer
		p, _ := buffered.Peek(buffered.Buffered()) // never more than there are
		stream = io.MultiReader(bytes.NewReader(bytes.Clone(p)), conn)
		ws.PutReader(buffered)
	}
	return &Client{Conn: conn, Reader: bufio.NewReaderSize(stream, 512)}, nil
}

// Send sends a text message.
func (c *Client) Send(p []byte) error { return c.send(ws.NewTextFrame(bytes.Clone(p))) }

func (c *Client) send(f ws.Frame) error {
	p := ws.MustCompileFrame(ws.MaskFrameInPlace(f))
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.Conn.Write(p)
	return err
}

// ClosedError is returned by [Client.Read] after a close frame of the server.
type ClosedError struct {
	Code   int
	Reason string
}

func (e *ClosedError) Error() string {
	return fmt.Sprintf("harness: the server closed with %d %q", e.Code, e.Reason)
}

// IsClosed reports whether err is a close frame with the code.
func IsClosed(err error, code int) bool {
	var closed *ClosedError
	return errors.As(err, &closed) && closed.Code == code
}

// Read reads messages until the connection ends. It calls f with the first bytes of each,
// at most len(head), and its length. It answers pings. A close frame is answered, no data
// may follow it, and Read returns a *ClosedError.
func (c *Client) Read(head []byte, f func(head []byte, length int) error) error {
	for {
		h, err := ws.ReadHeader(c.Reader)
		if err != nil {
			return err
		}
		if err := ws.CheckHeader(h, ws.StateClientSide); err != nil {
			return err
		}
		if h.OpCode.IsControl() {
			if err := c.control(h); err != nil {
				return err
			}
			continue
		}
		if !h.Fin {
			return errors.New("harness: a fragmented message")
		}
		n := min(int(h.Length), len(head))
		if _, err := io.ReadFull(c.Reader, head[:n]); err != nil {
			return err
		}
		if _, err := c.Reader.Discard(int(h.Length) - n); err != nil {
			return err
		}
		if err := f(head[:n], int(h.Length)); err != nil {
			return err
		}
	}
}

func (c *Client) control(h ws.Header) error {
	p := make([]byte, h.Length)
	if _, err := io.ReadFull(c.Reader, p); err != nil {
		return err
	}
	switch h.OpCode {
	case ws.OpPing:
		return c.send(ws.NewPongFrame(p))
	case ws.OpPong:
		return nil
	}
	code, reason := ws.StatusNoStatusRcvd, ""
	if len(p) > 0 {
		code, reason = ws.ParseCloseFrameData(p)
	}
	_ = c.send(ws.NewCloseFrame(p))                   // the server may have closed the socket already
	if n, _ := io.Copy(io.Discard, c.Reader); n > 0 { // a reset is an end as well
		return fmt.Errorf("harness: %d bytes after the close frame", n)
	}
	return &ClosedError{int(code), reason}
}

// DialAll opens n connections, 32 at a time, and calls ready for each, possibly
// concurrently.
func DialAll(ctx context.Context, n int, target string, ready func(i int, c *Client)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for i := range next {
				c, err := Dial(ctx, target, nil)
				if err != nil {
					cancel(err)
					return
				}
				ready(i, c)
			}
		})
	}
	for i := range n {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}
