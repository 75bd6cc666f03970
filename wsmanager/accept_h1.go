package wsmanager

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/http"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

// acceptH1 answers a valid handshake over HTTP/1.1 and takes the socket over. It
// returns the registered connection with its transport, who drives it, and the
// bytes that came with the request.
//
// The connection is registered before the answer goes out: what is broadcast
// after a client has seen its socket open reaches it.
func (m *Manager) acceptH1(w http.ResponseWriter, r *http.Request, key, extensions string, a Accept) (*Conn, driver, []byte, error) {
	if httpx.Depth(w, httpx.IsHijacker) < 0 {
		return nil, nil, nil, internal(fmt.Errorf("the http.ResponseWriter can't be hijacked: nothing of %s is an http.Hijacker; http.TimeoutHandler and HTTP/2 are the usual reasons", writerTypes(w)))
	}
	if m.opts.Driver == DriverEventLoop && r.TLS != nil {
		return nil, nil, nil, internal(fmt.Errorf("the event loop can't serve TLS: %w", errNotPlainTCP))
	}
	c := m.newConn(m.newConnID(), a, r.TLS, r.RemoteAddr)
	if extensions != "" {
		c.agreeDeflate()
	}
	h := w.Header()
	before := h.Clone()
	c.register(a)
	attached := false
	defer func() {
		if !attached { // also when a component above panics in WriteHeader
			takeBackAnswer(h, before, a)
			c.abandon()
		}
	}()
	if m.isDraining() { // it may have looked through the registry already
		return nil, nil, nil, refuseDraining()
	}
	for _, name := range notOfSwitch {
		h.Del(name)
	}
	setAnswer(h, a, extensions)
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", "websocket")
	h.Set("Sec-WebSocket-Accept", acceptKey(key))
	conn, early, err := upgrade(w, m.opts.HandshakeTimeout)
	if err != nil {
		return nil, nil, nil, err
	}
	t, d, err := m.drive(c, conn)
	if err != nil {
		_ = conn.Close() // nobody else has it
		return nil, nil, nil, hungUp{err}
	}
	attached = true
	if extensions != "" {
		m.stats.agreed.Add(1)
	}
	c.attach(t)
	return c, d, early, nil
}

// textAddr is an address of which only the text is known.
type textAddr string

func (textAddr) Network() string  { return "tcp" }
func (a textAddr) String() string { return string(a) }

// takeBackAnswer gives those headers back what they had before the answer: somebody
// above may answer yet, who is no WebSocket.
func takeBackAnswer(h, before http.Header, a Accept) {
	names := append([]string{"Connection", "Upgrade", "Sec-Websocket-Accept", "Sec-Websocket-Extensions", "Sec-Websocket-Protocol"}, notOfSwitch...)
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

// acceptKey is the proof that the handshake was understood (RFC 6455, section
// 4.2.2, item 5.4).
func acceptKey(key string) string {
	var buf [64]byte
	sum := sha1.Sum(append(append(buf[:0], key...), "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"...))
	return base64.StdEncoding.EncodeToString(sum[:])
}
