package handshake

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"net/url"
	"strings"
)

// newKey returns a Sec-WebSocket-Key.
func newKey() string {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails
	return base64.StdEncoding.EncodeToString(nonce[:])
}

// request returns the request of a handshake (RFC 6455, section 4.1).
func (cfg *ClientConfig) request(t *Target, key string) []byte {
	var b bytes.Buffer
	field := func(name, value string) { b.WriteString(name + ": " + value + "\r\n") }
	b.WriteString("GET " + t.url.RequestURI() + " HTTP/1.1\r\n")
	host := t.host
	if host == "" {
		host = withoutZone(t.url)
	}
	field("Host", host)
	field("Upgrade", "websocket")
	field("Connection", "Upgrade")
	field("Sec-WebSocket-Version", "13")
	field("Sec-WebSocket-Key", key)
	if len(cfg.Subprotocols) > 0 {
		field("Sec-WebSocket-Protocol", strings.Join(cfg.Subprotocols, ", "))
	}
	if cfg.Offer != "" {
		field("Sec-WebSocket-Extensions", cfg.Offer)
	}
	_ = t.header.Write(&b) // a bytes.Buffer returns no error
	b.WriteString("\r\n")
	return b.Bytes()
}

// withoutZone returns the host and port of a URL without the zone of an IPv6 address, which
// has a meaning only on this machine (RFC 6874, section 4).
func withoutZone(u *url.URL) string {
	address, zone, ok := strings.Cut(u.Host, "%")
	if _, port, end := strings.Cut(zone, "]"); ok && end {
		return address + "]" + port
	}
	return u.Host
}
