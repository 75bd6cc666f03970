package handshake

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

// Answer is the application's part of the answer to a valid handshake.
type Answer struct {
	Subprotocol string      // one that the client offered, or ""
	Extensions  string      // the Sec-WebSocket-Extensions, "" for none
	Header      http.Header // to be added; without the headers of the handshake itself
}

// Check returns an error if the answer does not fit the request, or can't be sent.
func (a *Answer) Check(r *http.Request) error {
	if a.Subprotocol != "" {
		if !offers(r, a.Subprotocol) {
			return fmt.Errorf("the client did not offer the sub-protocol %q", httpx.Truncate(a.Subprotocol, maxQuoted))
		}
		if !httpx.IsToken(a.Subprotocol) {
			return fmt.Errorf("the sub-protocol %q is not a token (RFC 6455, section 4.1)", httpx.Truncate(a.Subprotocol, maxQuoted))
		}
	}
	for name, values := range a.Header {
		if !httpx.IsToken(name) || slices.ContainsFunc(values, func(v string) bool { return !httpx.IsFieldValue(v) }) {
			return fmt.Errorf("the name or the value of the header %q is invalid", name)
		}
		if isOfHandshake(http.CanonicalHeaderKey(name)) {
			return fmt.Errorf("the header %s belongs to the handshake", http.CanonicalHeaderKey(name))
		}
	}
	return nil
}

func offers(r *http.Request, subprotocol string) bool {
	for item := range httpx.ListItems(r.Header["Sec-Websocket-Protocol"]) {
		if item == subprotocol {
			return true
		}
	}
	return false
}

// isOfHandshake reports whether a header may be set only by the handshake itself.
func isOfHandshake(canonical string) bool {
	return canonical == "Connection" || canonical == "Upgrade" || strings.HasPrefix(canonical, "Sec-Websocket-")
}

// Headers that outer components may have set for an ordinary response. A successful
// answer must not have them: a Content-Type, for example, makes compressors start.
var (
	notInSwitch = []string{"Content-Length", "Content-Encoding", "Content-Type", "Transfer-Encoding", "Trailer"}
	notInStream = append(slices.Clone(notInSwitch), "Sec-WebSocket-Accept")
)

// writeHeader writes the answer into h.
func (q *Request) writeHeader(h http.Header, a *Answer) {
	without := notInSwitch
	if q.Stream {
		without = notInStream
	}
	for _, name := range without {
		h.Del(name)
	}
	for name, values := range a.Header {
		for _, v := range values {
			h.Add(name, v)
		}
	}
	// Outer components took no part in the negotiation.
	h.Del("Sec-WebSocket-Extensions")
	h.Del("Sec-WebSocket-Protocol")
	if a.Extensions != "" {
		h.Set("Sec-WebSocket-Extensions", a.Extensions)
	}
	if a.Subprotocol != "" {
		h.Set("Sec-WebSocket-Protocol", a.Subprotocol)
	}
	if !q.Stream {
		h.Set("Connection", "Upgrade")
		h.Set("Upgrade", "websocket")
		h.Set("Sec-WebSocket-Accept", acceptKey(q.key))
	}
}

// restoreHeader sets the headers that writeHeader changes to their values in before,
// because an outer component may send another answer. Other headers stay: components may
// have set them since.
func restoreHeader(h, before http.Header, a *Answer) {
	names := append([]string{"Connection", "Upgrade", "Sec-Websocket-Accept", "Sec-Websocket-Extensions", "Sec-Websocket-Protocol"}, notInSwitch...)
	for name := range a.Header {
		names = append(names, http.CanonicalHeaderKey(name))
	}
	for _, name := range names {
		if values, ok := before[name]; ok {
			h[name] = values
		} else {
			delete(h, name)
		}
	}
}

// acceptKey returns the Sec-WebSocket-Accept for a key (RFC 6455, section 4.2.2, item
// 5.4).
func acceptKey(key string) string {
	var buf [64]byte
	sum := sha1.Sum(append(append(buf[:0], key...), "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"...))
	return base64.StdEncoding.EncodeToString(sum[:])
}
