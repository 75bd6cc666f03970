package handshake

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/gobwas/ws"
)

// ErrAnswer is returned if the server's answer is not a valid 101, or not HTTP (RFC 6455,
// section 4.1).
var ErrAnswer = errors.New("the server's answer is not a WebSocket handshake")

var errHeadTooBig = fmt.Errorf("%w: its head is bigger than %d bytes", ErrAnswer, maxHead)

// maxHead limits the bytes that are read of the answer to a handshake or to a CONNECT.
const maxHead = 64 << 10

// exchange sends the request, reads the answer and fills res in. gobwas does not limit
// what it reads, so the reader does.
func (cfg *ClientConfig) exchange(t *Target, res *Result) error {
	var refused *RefusedError
	response := make(http.Header)
	wd := ws.Dialer{
		Protocols: cfg.Subprotocols,
		Header:    ws.HandshakeHeaderHTTP(t.header),
		Host:      t.host,
		OnHeader: func(key, value []byte) error {
			response.Add(string(key), string(value))
			return nil
		},
		OnStatusError: func(status int, _ []byte, answer io.Reader) {
			refused = readRefusal(status, bufio.NewReader(answer))
		},
	}
	head := &headReader{r: res.Conn, left: maxHead}
	if cfg.Offer != nil {
		cfg.Offer(&wd)
		head.record = true
	}
	rw := struct {
		io.Reader
		io.Writer
	}{head, res.Conn}
	br, hs, err := wd.Upgrade(rw, t.url)
	if br != nil {
		defer ws.PutReader(br)
	}
	switch {
	case refused != nil:
		return refused
	case err != nil:
		return exchangeError(err)
	case !head.isHTTP11():
		return fmt.Errorf("%w: its version of HTTP is %.8q", ErrAnswer, head.start[:])
	}
	if br != nil {
		res.Early = make([]byte, br.Buffered())
		_, _ = io.ReadFull(br, res.Early) // buffered bytes are read in one call, without an error
	}
	res.Subprotocol = hs.Protocol
	if len(hs.Extensions) > 0 {
		if res.Extensions, err = cfg.checkExtensions(head.recorded); err != nil {
			return err
		}
	}
	if cfg.OnResponse != nil {
		return cfg.OnResponse(response)
	}
	return nil
}

// checkExtensions parses the head of the answer again: gobwas has checked that the
// extensions were offered, but it drops one of two parameters with the same name.
func (cfg *ClientConfig) checkExtensions(head []byte) (bool, error) {
	res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), nil)
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	defer res.Body.Close()
	agreed, err := cfg.CheckExtensions(res.Header["Sec-Websocket-Extensions"])
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	return agreed, nil
}

// exchangeError tells invalid answers from errors of the network.
func exchangeError(err error) error {
	var ne net.Error
	switch {
	case errors.As(err, &ne), errors.Is(err, ErrAnswer):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the connection ended before the handshake: %w", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("%w: %w", ErrAnswer, err)
}

// headReader reads at most left bytes.
type headReader struct {
	r        io.Reader
	left     int
	start    [len("HTTP/1.1")]byte // the first bytes read
	started  int                   // how many bytes of start are set
	record   bool                  // whether recorded is needed
	recorded []byte                // all bytes read
}

// isHTTP11 reports whether the answer begins with a version of HTTP that has upgrades.
// gobwas accepts other characters as digits.
func (h *headReader) isHTTP11() bool {
	major, minor, ok := http.ParseHTTPVersion(string(h.start[:h.started]))
	return ok && major == 1 && minor >= 1
}

// Read implements io.Reader.
func (h *headReader) Read(p []byte) (int, error) {
	if h.left <= 0 {
		return 0, errHeadTooBig
	}
	n, err := h.r.Read(p[:min(len(p), h.left)])
	h.left -= n
	h.started += copy(h.start[h.started:], p[:n])
	if h.record {
		h.recorded = append(h.recorded, p[:n]...)
	}
	return n, err
}
