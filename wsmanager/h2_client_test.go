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

// dialStream returns the connection that wstest's clients use instead of a socket. It is an
// in-memory pipe to a gateway, which reads an HTTP/1.1 handshake and continues it as an
// extended CONNECT over its own HTTP/2 connection. With it the tests of HTTP/1.1 also test
// HTTP/2.
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
		_ = server.Close() // closing a pipe cannot fail
	}()
	return &streamConn{client, local}, nil
}

// streamConn is the connection that dialStream returns.
type streamConn struct {
	*wstest.PipeConn
	local net.Addr // of the HTTP/2 connection
}

func (c *streamConn) LocalAddr() net.Addr { return c.local }

// gateway forwards one request and the stream that follows it. For an error that it returns, a
// socket would be reset.
func gateway(conn *wstest.PipeConn, cc *h2test.Conn) error {
	br := bufio.NewReader(conn)
	r, err := http.ReadRequest(br)
	if err != nil {
		return err
	}
	r.URL.Scheme = "http"
	isWebSocket := strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
	delete(r.Header, "Sec-Websocket-Key")
	up := io.Reader(r.Body)
	if isWebSocket {
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
			s.Reset(http2.ErrCodeCancel) // the client has reset, or the response direction has ended
		}
		_ = s.CloseWrite() // the stream may have ended already
	}()
	res, err := s.Response()
	if err != nil {
		return err
	}
	if isWebSocket && res.StatusCode == http.StatusOK {
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

// answer writes the head of a response in HTTP/1.1 format.
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
