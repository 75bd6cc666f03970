package wsmanager

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/speakingtube/speakingtube/internal/httpx"
	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// connectProtocol returns the :protocol of an extended CONNECT over HTTP/2 (RFC 8441,
// section 4), or "". net/http has it among the headers; over HTTP/1.1 no header can
// have this name.
func connectProtocol(r *http.Request) string {
	if r.Method != http.MethodConnect || r.ProtoMajor != 2 {
		return ""
	}
	return r.Header.Get(":protocol")
}

// overStream reports whether the request asks for a WebSocket that is a stream of an
// HTTP/2 connection.
func overStream(r *http.Request) bool { return strings.EqualFold(connectProtocol(r), "websocket") }

// checkConnect checks a handshake over HTTP/2 (RFC 8441, section 5). There is no key:
// nothing that knows no WebSockets understands the request by mistake.
func checkConnect(w http.ResponseWriter, r *http.Request) error {
	if v := r.Header["Sec-Websocket-Version"]; len(v) != 1 || strings.TrimSpace(v[0]) != "13" {
		w.Header().Set("Sec-WebSocket-Version", "13")
		return &refusal{refusedMalformed, http.StatusBadRequest, "This server speaks version 13 of the WebSocket protocol (RFC 6455).", fmt.Errorf("the version is %q", httpx.Truncate(strings.Join(v, ", "), maxLogged))}
	}
	if r.ContentLength != -1 { // the stream has ended already, or will at some byte
		return &refusal{refusedMalformed, http.StatusBadRequest, "A WebSocket handshake has no body, and leaves its stream open.", errors.New("the request has a body, or has ended its stream")}
	}
	return nil
}

// acceptH2 answers a valid handshake over HTTP/2. It returns the registered
// connection with its transport, and who drives it: on the goroutine of the request,
// which must not return before the connection has ended.
func (m *Manager) acceptH2(w http.ResponseWriter, r *http.Request, extensions string, a Accept) (*Conn, driver, error) {
	if m.opts.Driver == DriverEventLoop {
		return nil, nil, internal(errors.New("the event loop can't serve HTTP/2: its streams have no socket of their own; use DriverAuto or DriverGoroutine"))
	}
	rc := http.NewResponseController(w)
	// Those of the server are for requests. (A deadline of the stream that has passed
	// can't be moved any more.)
	err := rc.SetReadDeadline(time.Time{})
	if err == nil {
		err = rc.SetWriteDeadline(time.Now().Add(m.opts.HandshakeTimeout))
	}
	if err != nil {
		return nil, nil, internal(fmt.Errorf("the http.ResponseWriter has no deadlines, without which a stream can't be cut: nothing of %s is net/http's own; http.TimeoutHandler is the usual reason: %w", writerTypes(w), err))
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
		if !attached {
			takeBackAnswer(h, before, a)
			c.abandon()
		}
	}()
	if m.isDraining() { // it may have looked through the registry already
		return nil, nil, refuseDraining()
	}
	for _, name := range notOfStreams {
		h.Del(name)
	}
	setAnswer(h, a, extensions)
	own := httpx.Innermost(w)
	tell(w, findOwnStream(own), http.StatusOK, notOfStreams)
	handDown(h, own.Header(), notOfStreams) // counts if the status was kept above: 200 is what is sent without one
	// From here on it is as after a hijack: what goes over the stream is no response
	// that a component above could measure, compress or hold back. A compressor's Flush
	// would write the beginning of its format.
	w = own
	rc = http.NewResponseController(w)
	if err := rc.Flush(); err != nil {
		return nil, nil, fmt.Errorf("sending the answer: %w", err)
	}
	if err := rc.SetWriteDeadline(time.Time{}); err != nil {
		return nil, nil, fmt.Errorf("sending the answer: %w", err)
	}
	t := transport.NewStream(w, r.Body, streamAddr(r))
	attached = true
	if extensions != "" {
		m.stats.agreed.Add(1)
	}
	c.attach(t)
	return c, streamDriver{t}, nil
}

// streamAddr returns the peer's address, as text if the request has no IP address.
func streamAddr(r *http.Request) net.Addr {
	addr, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return textAddr(r.RemoteAddr)
	}
	return net.TCPAddrFromAddrPort(addr)
}

// notOfStreams is headers that somebody above may have set for an ordinary response.
var notOfStreams = []string{"Content-Length", "Content-Encoding", "Content-Type", "Transfer-Encoding", "Trailer", "Sec-WebSocket-Accept"}
