package wsmanager_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"time"

	"golang.org/x/net/http2"

	"github.com/speakingtube/speakingtube/internal/h2test"
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
	cc := h2test.New(conn)
	client, server := wstest.Pipe(64 << 10)
	local := conn.LocalAddr()
	go func() {
		defer cc.Close()
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
func gateway(conn *wstest.PipeConn, cc *h2test.Conn) error {
	br := bufio.NewReader(conn)
	r, err := http.ReadRequest(br)
	if err != nil {
		return err
	}
	r.URL.Scheme = "http"
	asks := strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
	delete(r.Header, "Sec-Websocket-Key")
	up := io.Reader(r.Body)
	if asks {
		r.Method, r.ContentLength, up = http.MethodConnect, -1, br
		r.Header[":protocol"] = []string{"websocket"}
	}
	s, err := cc.Open(r, r.ContentLength == 0)
	if err != nil {
		return err
	}
	defer s.Reset(http2.ErrCodeCancel)
	go func() {
		if _, err := io.Copy(s, up); err != nil {
			s.Reset(http2.ErrCodeCancel) // a reset, or the end of the other direction
		}
		_ = s.CloseWrite() // of a stream that may have ended
	}()
	res, err := s.Response()
	if err != nil {
		return err
	}
	if asks && res.StatusCode == http.StatusOK {
		res.StatusCode = http.StatusSwitchingProtocols
		res.Header.Set("Connection", "Upgrade")
		res.Header.Set("Upgrade", "websocket")
		res.Header.Set("Sec-WebSocket-Accept", wstest.Accept)
	}
	if err := answer(conn, res); err != nil {
		return err
	}
	_, err = io.Copy(conn, s)
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
