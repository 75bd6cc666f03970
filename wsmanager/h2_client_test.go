package wsmanager_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"time"

	"golang.org/x/net/http2"

	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// dialStream is what wstest's clients get in place of a socket: a connection in
// memory, behind which is a gateway that takes a handshake of HTTP/1.1 and goes on
// with an extended CONNECT over an HTTP/2 connection of its own. So the tests of
// HTTP/1.1 are tests of HTTP/2.
func dialStream(address string, within time.Duration) (net.Conn, error) {
	conn, err := net.DialTimeout("tcp", address, within)
	if err != nil {
		return nil, err
	}
	cc, err := (&http2.Transport{AllowHTTP: true}).NewClientConn(conn) //nolint:staticcheck // net/http's own Transport refuses :protocol
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	client, server := wstest.Pipe(64 << 10)
	local := conn.LocalAddr()
	go func() {
		defer conn.Close()
		if err := gateway(server, cc); err != nil {
			server.Reset()
			return
		}
		_ = server.Close() // a pipe's end
	}()
	return &streamConn{client, local}, nil
}

// streamConn is what dialStream returns.
type streamConn struct {
	*wstest.PipeConn
	local net.Addr // the HTTP/2 connection's
}

func (c *streamConn) LocalAddr() net.Addr { return c.local }

// gateway carries one request, and the stream that it leads to. The error is what a
// socket would be reset for.
//
//nolint:staticcheck // net/http's own client refuses :protocol
func gateway(conn *wstest.PipeConn, cc *http2.ClientConn) error {
	br := bufio.NewReader(conn)
	r, err := http.ReadRequest(br)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out := r.Clone(ctx)
	out.RequestURI = ""
	out.URL.Scheme, out.URL.Host = "http", r.Host
	asks := strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
	for _, name := range []string{"Connection", "Upgrade", "Sec-Websocket-Key"} {
		delete(out.Header, name)
	}
	body, up := io.Pipe()
	if asks {
		out.Method, out.Body, out.ContentLength = http.MethodConnect, body, -1
		out.Header[":protocol"] = []string{"websocket"}
	}
	res, err := cc.RoundTrip(out)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if asks && res.StatusCode == http.StatusOK {
		res.StatusCode = http.StatusSwitchingProtocols
		res.Header.Set("Connection", "Upgrade")
		res.Header.Set("Upgrade", "websocket")
		res.Header.Set("Sec-WebSocket-Accept", wstest.Accept)
	}
	if err := answer(conn, res); err != nil {
		return err
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		_, err := io.Copy(conn, res.Body)
		return err
	}
	go func() {
		if _, err := io.Copy(up, br); err != nil {
			cancel() // a reset, or the end of the other direction
		}
		_ = up.Close() // of a pipe
	}()
	_, err = io.Copy(conn, res.Body)
	var reset http2.StreamError
	if errors.As(err, &reset) && reset.Code == http2.ErrCodeNo {
		err = nil
	}
	return err
}

// answer writes the head of a response as HTTP/1.1 has it.
func answer(w io.Writer, res *http.Response) error {
	head := fmt.Sprintf("HTTP/1.1 %d %s\r\n", res.StatusCode, http.StatusText(res.StatusCode))
	for name, values := range res.Header {
		for _, v := range values {
			head += textproto.TrimString(name) + ": " + v + "\r\n"
		}
	}
	_, err := io.WriteString(w, head+"\r\n")
	return err
}
