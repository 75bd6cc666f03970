package handshake

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

// ServerConfig is what a server accepts. The zero value accepts requests without an
// origin or of the server's own.
type ServerConfig struct {
	// AllowedOrigins are further origins.
	AllowedOrigins Origins

	// AllowOrigin decides about each origin that is neither the server's own nor in
	// AllowedOrigins, if it is not nil. The URL has the scheme and the host.
	AllowOrigin func(*http.Request, *url.URL) bool

	// SecureOriginsOnly refuses pages of the same host that were loaded without TLS.
	SecureOriginsOnly bool

	// AnyOrigin switches the check of origins off.
	AnyOrigin bool
}

// Request is a valid handshake.
type Request struct {
	Stream bool // over HTTP/2 (RFC 8441)

	key string // Sec-WebSocket-Key; HTTP/2 has none
}

// maxQuoted is the length in bytes to which an error quotes what a client sent.
const maxQuoted = 256

// usage is the body of the answer to a request that does not ask for a WebSocket.
const usage = `This is a WebSocket endpoint. Connect to it with a WebSocket client, which sends
a GET request over HTTP/1.1 with the headers "Connection: Upgrade",
"Upgrade: websocket", "Sec-WebSocket-Version: 13" and a "Sec-WebSocket-Key".`

// Texts for clients, which both protocols use.
const (
	textVersion = "This server speaks version 13 of the WebSocket protocol (RFC 6455)."
	textOrigin  = "This origin may not connect."
)

// Check validates a request: first request line and headers, then the origin. The error is
// a *Refusal. Check sets the headers of w that the answer to it needs, except Connection: see
// [CloseAfterAnswer].
func Check(w http.ResponseWriter, r *http.Request, cfg *ServerConfig) (Request, error) {
	q := Request{Stream: isStream(r)}
	var err error
	if q.Stream {
		err = checkStream(w, r)
	} else {
		q.key, err = checkUpgrade(w, r)
	}
	if err != nil {
		return Request{}, err
	}
	if err := cfg.checkOrigin(r); err != nil {
		return Request{}, &Refusal{ForeignOrigin, http.StatusForbidden, textOrigin, err}
	}
	return q, nil
}

// WantsWebSocket reports whether the request asks for a WebSocket, in a valid way or not.
func WantsWebSocket(r *http.Request) bool {
	return httpx.ListContains(r.Header["Upgrade"], "websocket") || isStream(r)
}

// checkUpgrade validates a handshake over HTTP/1.1 (RFC 6455, section 4.2.1) and returns
// its key.
func checkUpgrade(w http.ResponseWriter, r *http.Request) (key string, err error) {
	h := r.Header
	if p := connectProtocol(r); p != "" {
		// RFC 9220, section 3, requires 501. RFC 8441 names no status.
		return "", notWebSocket(http.StatusNotImplemented, "This is a WebSocket endpoint.", fmt.Errorf("the request asks for the protocol %q", p))
	}
	if !WantsWebSocket(r) || !httpx.ListContains(h["Connection"], "upgrade") {
		nameProtocol(w, r)
		return "", notWebSocket(http.StatusUpgradeRequired, usage, errors.New("the request does not ask for a WebSocket"))
	}
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		return "", malformed(http.StatusMethodNotAllowed, "A WebSocket handshake is a GET request.", errors.New("the method is "+httpx.Truncate(r.Method, maxQuoted)))
	}
	if !r.ProtoAtLeast(1, 1) {
		return "", malformed(http.StatusBadRequest, "A WebSocket handshake needs HTTP/1.1.", errors.New("the request is "+r.Proto))
	}
	if err := checkVersion(r); err != nil {
		nameProtocol(w, r)
		w.Header().Set("Sec-WebSocket-Version", "13")
		return "", malformed(http.StatusUpgradeRequired, textVersion, err)
	}
	if r.ContentLength != 0 {
		// Hijack would wait for the body, and no time limit covers that.
		return "", malformed(http.StatusBadRequest, "A WebSocket handshake has no body.", errors.New("the request has a body"))
	}
	keys := h["Sec-Websocket-Key"]
	if len(keys) != 1 {
		return "", malformed(http.StatusBadRequest, "A WebSocket handshake has one Sec-WebSocket-Key.", fmt.Errorf("the request has %d keys", len(keys)))
	}
	key = strings.TrimSpace(keys[0])
	if nonce, err := base64.StdEncoding.DecodeString(key); err != nil || len(nonce) != 16 {
		return "", malformed(http.StatusBadRequest, "The Sec-WebSocket-Key must be 16 bytes in base64.", errors.New("the key is malformed"))
	}
	return key, nil
}

// nameProtocol sets the header Upgrade, which a 426 must have (RFC 9110, section 15.5.22).
// HTTP/2 has no such header.
func nameProtocol(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 {
		w.Header().Set("Upgrade", "websocket")
	}
}

// checkStream validates a handshake over HTTP/2 (RFC 8441, section 5). It has no key:
// a server without WebSockets can't accept an extended CONNECT by mistake.
func checkStream(w http.ResponseWriter, r *http.Request) error {
	if err := checkVersion(r); err != nil {
		w.Header().Set("Sec-WebSocket-Version", "13")
		return malformed(http.StatusBadRequest, textVersion, err)
	}
	if r.ContentLength != -1 { // the stream has ended, or will end after a known number of bytes
		return malformed(http.StatusBadRequest, "A WebSocket handshake has no body, and leaves its stream open.", errors.New("the request has a body, or has ended its stream"))
	}
	return nil
}

func checkVersion(r *http.Request) error {
	v := r.Header["Sec-Websocket-Version"]
	if len(v) == 1 && strings.TrimSpace(v[0]) == "13" {
		return nil
	}
	return fmt.Errorf("the version is %q", httpx.Truncate(strings.Join(v, ", "), maxQuoted))
}

// connectProtocol returns the :protocol of an extended CONNECT over HTTP/2 (RFC 8441,
// section 4), or "". net/http stores it among the headers. Over HTTP/1.1 no header can
// have this name.
func connectProtocol(r *http.Request) string {
	if r.Method != http.MethodConnect || r.ProtoMajor != 2 {
		return ""
	}
	return r.Header.Get(":protocol")
}

// isStream reports whether the request asks for a WebSocket over a stream of an HTTP/2
// connection.
func isStream(r *http.Request) bool { return strings.EqualFold(connectProtocol(r), "websocket") }
