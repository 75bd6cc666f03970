package handshake

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

// checkSwitching checks the header of a 101 (RFC 6455, section 4.1) and fills res in. It is
// as tolerant as other clients, as none of this weakens the proof, Sec-WebSocket-Accept:
//
//   - Upgrade and Connection are lists that contain the token, in any case, over any number
//     of lines.
//   - A header of the handshake may be repeated with the same value, or be empty.
//   - Headers of a body are ignored: a 101 has none (RFC 9112, section 6.3).
func (cfg *ClientConfig) checkSwitching(h http.Header, key string, res *Result) (err error) {
	if err := contains(h, "Upgrade", "websocket"); err != nil {
		return err
	}
	if err := contains(h, "Connection", "upgrade"); err != nil {
		return err
	}
	accept, err := single(h, "Sec-WebSocket-Accept", h.Values("Sec-WebSocket-Accept"))
	if err == nil && accept != acceptKey(key) {
		err = wrong("Sec-WebSocket-Accept", accept, "does not belong to the Sec-WebSocket-Key")
	}
	if err != nil {
		return err
	}
	const protocol = "Sec-WebSocket-Protocol"
	if res.Subprotocol, err = single(h, protocol, slices.Collect(httpx.ListItems(h.Values(protocol)))); err != nil {
		return err
	}
	if res.Subprotocol != "" && !slices.Contains(cfg.Subprotocols, res.Subprotocol) {
		return wrong(protocol, res.Subprotocol, "was not offered")
	}
	lines := slices.DeleteFunc(slices.Clone(h.Values("Sec-WebSocket-Extensions")), func(line string) bool { return line == "" })
	switch {
	case len(lines) == 0:
	case cfg.Offer == "":
		return wrong("Sec-WebSocket-Extensions", strings.Join(lines, ", "), "was not offered")
	default:
		if res.Extensions, err = cfg.CheckExtensions(lines); err != nil {
			return fmt.Errorf("%w: its header Sec-WebSocket-Extensions: %w", ErrAnswer, err)
		}
	}
	return nil
}

// contains returns an error unless a header is a list that contains token.
func contains(h http.Header, name, token string) error {
	lines := h.Values(name)
	switch {
	case httpx.ListContains(lines, token):
		return nil
	case len(lines) == 0:
		return fmt.Errorf("%w: it has no header %s", ErrAnswer, name)
	}
	return wrong(name, strings.Join(lines, ", "), fmt.Sprintf("does not contain %q", token))
}

// single returns the value of a header, "" if it has none. The values must be equal.
func single(h http.Header, name string, values []string) (string, error) {
	for _, v := range values {
		if v != values[0] {
			return "", wrong(name, strings.Join(h.Values(name), ", "), "has different values")
		}
	}
	if len(values) == 0 {
		return "", nil
	}
	return values[0], nil
}

func wrong(name, value, why string) error {
	if value == "" {
		return fmt.Errorf("%w: its header %s is missing or empty", ErrAnswer, name)
	}
	return fmt.Errorf("%w: its header %s is %q, which %s", ErrAnswer, name, httpx.Truncate(value, maxQuoted), why)
}

// rest returns the headers that do not belong to the handshake.
func rest(h http.Header) http.Header {
	for _, name := range []string{"Upgrade", "Connection", "Sec-WebSocket-Accept", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"} {
		h.Del(name)
	}
	return h
}
