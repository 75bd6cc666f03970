package harness

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gobwas/ws"
)

// Client is a WebSocket client that costs little: one goroutine, which reads, a
// small buffer, and no copy of what it reads.
type Client struct {
	Conn net.Conn
	br   *bufio.Reader

	mu sync.Mutex // of writes
}

// Dial connects to target, "host:port/path". configure may change the socket
// before the handshake; it may be nil.
func Dial(ctx context.Context, target string, configure func(*net.TCPConn) error) (*Client, error) {
	return dial(ctx, target, nil, configure)
}

func dial(ctx context.Context, target string, header http.Header, configure func(*net.TCPConn) error) (*Client, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+target, nil)
	if err != nil {
		return nil, err
	}
	req.Header = http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}
	maps.Copy(req.Header, header)
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", req.URL.Host)
	if err != nil {
		return nil, err
	}
	c := &Client{Conn: conn, br: bufio.NewReaderSize(conn, 512)}
	if err := c.handshake(req, configure); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *Client) handshake(req *http.Request, configure func(*net.TCPConn) error) error {
	if configure != nil {
		if err := configure(c.Conn.(*net.TCPConn)); err != nil {
			return err
		}
	}
	if deadline, ok := req.Context().Deadline(); ok {
		if err := c.Conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	var buf bytes.Buffer
	if err := req.Write(&buf); err != nil {
		return err
	}
	if _, err := c.Conn.Write(buf.Bytes()); err != nil {
		return err
	}
	res, err := http.ReadResponse(c.br, req)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("harness: the handshake was answered with %s", res.Status)
	}
	return c.Conn.SetDeadline(time.Time{})
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

// Reader is what the client reads by, for those that take frames apart themselves.
func (c *Client) Reader() io.Reader { return c.br }

// Closed is the end of a connection by a close frame of the server's.
type Closed struct {
	Code   int
	Reason string
}

func (e *Closed) Error() string {
	return fmt.Sprintf("harness: the server closed with %d %q", e.Code, e.Reason)
}

// Read reads messages until the end and gives the head of each, up to len(head)
// bytes, and its whole length to f. Pings are answered. It returns a *Closed after a close frame, which is
// answered and after which nothing may come but the end of the connection, or what
// else ended it.
func (c *Client) Read(head []byte, f func(head []byte, length int) error) error {
	state := ws.StateClientSide
	for {
		h, err := ws.ReadHeader(c.br)
		if err != nil {
			return err
		}
		if err := ws.CheckHeader(h, state); err != nil {
			return err
		}
		if h.OpCode.IsControl() {
			p := make([]byte, h.Length)
			if _, err := io.ReadFull(c.br, p); err != nil {
				return err
			}
			switch h.OpCode {
			case ws.OpPing:
				err = c.send(ws.NewPongFrame(p))
			case ws.OpClose:
				return c.closed(p)
			}
			if err != nil {
				return err
			}
			continue
		}
		if !h.Fin {
			return errors.New("harness: a message in fragments")
		}
		n := min(int(h.Length), len(head))
		if _, err := io.ReadFull(c.br, head[:n]); err != nil {
			return err
		}
		if _, err := c.br.Discard(int(h.Length) - n); err != nil {
			return err
		}
		if err := f(head[:n], int(h.Length)); err != nil {
			return err
		}
	}
}

// closed answers a close frame and waits for the end.
func (c *Client) closed(p []byte) error {
	code, reason := ws.StatusNoStatusRcvd, ""
	if len(p) > 0 {
		code, reason = ws.ParseCloseFrameData(p)
	}
	_ = c.send(ws.NewCloseFrame(p))               // the server may not wait for it
	if n, _ := io.Copy(io.Discard, c.br); n > 0 { // a reset is an end as well
		return fmt.Errorf("harness: %d bytes after the close frame", n)
	}
	return &Closed{int(code), reason}
}

// DialAll dials n connections, some at a time, and calls ready for each.
func DialAll(ctx context.Context, n int, target string, ready func(i int, c *Client)) error {
	return dialAll(ctx, n, target, nil, ready)
}

// DialAllOffering is DialAll by clients that offer compression. They read no compressed
// message: they are for connections on which none comes.
func DialAllOffering(ctx context.Context, n int, target string, ready func(i int, c *Client)) error {
	return dialAll(ctx, n, target, http.Header{"Sec-Websocket-Extensions": {"permessage-deflate"}}, ready)
}

func dialAll(ctx context.Context, n int, target string, header http.Header, ready func(i int, c *Client)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for i := range next {
				c, err := dial(ctx, target, header, nil)
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
