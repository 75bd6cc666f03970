package handshake

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// exchange sends the request, reads the answer and fills res in. If the answer is a redirect
// that hops can follow, the error is errFollow.
func (cfg *ClientConfig) exchange(hops *hops, res *Result) error {
	key := newKey()
	if _, err := res.Conn.Write(cfg.request(hops.target, key)); err != nil {
		return err
	}
	br := bufio.NewReader(&headReader{r: res.Conn, left: maxHead})
	line, err := readFinalStatus(br)
	if err != nil {
		return exchangeError(err)
	}
	if line.status != http.StatusSwitchingProtocols {
		return hops.refused(readRefusal(line, br, nil))
	}
	if line.minor == 0 { // HTTP/1.0 has no upgrades
		return fmt.Errorf("%w: its version is HTTP/1.0", ErrAnswer)
	}
	h, err := readHeader(br)
	if err != nil {
		return exchangeError(err)
	}
	if err := cfg.checkSwitching(h, key, res); err != nil {
		return err
	}
	res.Early = make([]byte, br.Buffered())
	_, _ = io.ReadFull(br, res.Early) // buffered bytes are read in one call, without an error
	if cfg.OnResponse != nil {
		return cfg.OnResponse(rest(h))
	}
	return nil
}

// exchangeError tells invalid answers from errors of the network.
func exchangeError(err error) error {
	var he headError
	switch {
	case errors.As(err, &he):
		return fmt.Errorf("%w: %w", ErrAnswer, he.error)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the connection ended before the handshake: %w", err)
	}
	return err
}

// readRefusal reads the answer behind its first line. req is nil or the request. The body need
// not be closed: it owns nothing.
func readRefusal(line statusLine, br *bufio.Reader, req *http.Request) *http.Response {
	// net/http reads the body. It does not accept all first lines that parseStatusLine does.
	first := fmt.Sprintf("HTTP/1.%d %03d %s\r\n", line.minor, line.status, line.reason)
	res, err := http.ReadResponse(bufio.NewReader(io.MultiReader(strings.NewReader(first), br)), req)
	if err != nil {
		return &http.Response{StatusCode: line.status, Header: http.Header{}, Body: http.NoBody}
	}
	return res
}
