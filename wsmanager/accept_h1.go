package wsmanager

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"time"
)

// acceptH1 answers a valid handshake over HTTP/1.1 and takes the socket over. It
// returns the registered connection with its transport, who drives it, and the
// bytes that came with the request.
//
// The connection is registered before the answer goes out: what is broadcast
// after a client has seen its socket open reaches it.
func (m *Manager) acceptH1(w http.ResponseWriter, r *http.Request, key, extensions string, a Accept) (*Conn, driver, []byte, error) {
	if !canHijack(w) {
		return nil, nil, nil, internal(fmt.Errorf("the http.ResponseWriter can't be hijacked: nothing that %T wraps is an http.Hijacker; http.TimeoutHandler and HTTP/2 are the usual reasons", w))
	}
	if m.opts.Driver == DriverEventLoop && r.TLS != nil {
		return nil, nil, nil, internal(fmt.Errorf("the event loop can't serve TLS: %w", errNotPlainTCP))
	}
	c := m.newConn(m.newConnID(), a, r.TLS, r.RemoteAddr)
	if extensions != "" {
		c.agreeDeflate()
	}
	c.register(a)
	attached := false
	defer func() {
		if !attached { // also when a component above panics in WriteHeader
			c.abandon()
		}
	}()
	if m.isDraining() { // it may have looked through the registry already
		return nil, nil, nil, refuseDraining()
	}
	h := w.Header()
	setAnswer(h, a, extensions)
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", "websocket")
	h.Set("Sec-WebSocket-Accept", acceptKey(key))
	rc := http.NewResponseController(w)
	// A writer that has no deadlines makes the handshake as patient as the
	// server is.
	deadline := time.Now().Add(m.opts.HandshakeTimeout)
	limited := rc.SetWriteDeadline(deadline) == nil
	w.WriteHeader(http.StatusSwitchingProtocols)
	conn, rw, err := rc.Hijack() // sends the answer; clears deadlines
	if err != nil {
		return nil, nil, nil, fmt.Errorf("taking the connection over: %w", err)
	}
	if limited && !time.Now().Before(deadline) {
		// net/http says nothing of a write that fails there: only a part of the
		// answer may have left.
		_ = conn.Close() // there is nothing to do about an error
		return nil, nil, nil, fmt.Errorf("sending the answer: %w", os.ErrDeadlineExceeded)
	}
	var early []byte
	if n := rw.Reader.Buffered(); n > 0 {
		early = make([]byte, n)
		_, _ = rw.Reader.Read(early) // what is buffered is read whole and without error
	}
	t, d, err := m.drive(c, conn)
	if err != nil {
		_ = conn.Close() // nobody else has it
		return nil, nil, nil, err
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

// canHijack reports whether http.ResponseController's Hijack will find an
// http.Hijacker.
func canHijack(w http.ResponseWriter) bool {
	for {
		if _, ok := w.(http.Hijacker); ok {
			return true
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return false
		}
		w = u.Unwrap()
	}
}

// acceptKey is the proof that the handshake was understood (RFC 6455, section
// 4.2.2, item 5.4).
func acceptKey(key string) string {
	var buf [64]byte
	sum := sha1.Sum(append(append(buf[:0], key...), "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"...))
	return base64.StdEncoding.EncodeToString(sum[:])
}
