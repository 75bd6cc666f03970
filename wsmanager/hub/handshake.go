package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// handshakeRequest is a client's first record. It is JSON for all protocols.
type handshakeRequest struct {
	Protocol *string         `json:"protocol"`
	Version  *int            `json:"version"`
	Type     json.RawMessage `json:"type"` // messages have a type, handshakes do not
}

var errNoHandshake = errors.New("the first message is not a handshake request")

func parseHandshake(record []byte) (protocol string, version int, err error) {
	var r handshakeRequest
	if err := json.Unmarshal(record, &r); err != nil {
		return "", 0, fmt.Errorf("%w: %w", errNoHandshake, err)
	}
	if r.Protocol == nil || r.Version == nil || r.Type != nil {
		return "", 0, errNoHandshake
	}
	return *r.Protocol, *r.Version, nil
}

// handshakeAnswer encodes the answer to a handshake. The server sends it as a WebSocket message of its own, because
// clients count messages from the next WebSocket message on.
func handshakeAnswer(problem string) []byte {
	if problem == "" {
		return []byte{'{', '}', separator}
	}
	answer := append([]byte(`{"error":`), appendString(nil, problem)...)
	return append(answer, '}', separator)
}

// handshake implements inbound. It refuses invalid handshakes itself, so that the client reads the reason.
func (s *serverSocket) handshake(record []byte, received wsmanager.MessageType) error {
	c := s.conn
	name, version, err := parseHandshake(record)
	if err != nil {
		c.refuseHandshake(s.ws, "The first message must be a handshake request.", err)
		return nil
	}
	h := c.hub
	var protocol Protocol
	for v, p := range h.opts.Protocols {
		if strings.EqualFold(p.Name(), name) {
			protocol, c.variant = p, wsmanager.Variant(v)
		}
	}
	switch {
	case protocol == nil:
		c.refuseHandshake(s.ws, "The protocol '"+name+"' is not supported.", errors.New("the client requested an unknown protocol"))
		return nil
	case version > 2:
		c.refuseHandshake(s.ws, "The server does not support this version of the protocol '"+name+"'.", errors.New("the client requested an unknown version of its protocol"))
		return nil
	}
	if !c.completeHandshake(s.ws, received, protocol, version) {
		return nil // the connection is closing
	}
	h.running.run(c.runConnected)
	if h.isDraining() { // Shutdown may already have closed all connections that it found
		c.close(&Close{AllowReconnect: true}, wsmanager.StatusNormalClosure, ErrShutdown)
	}
	return nil
}

// completeHandshake answers the handshake and registers the connection. The answer goes out before other goroutines can
// send to the connection. Shutdown does not begin between the two steps: a client that has read the answer gets a Close
// message.
func (c *conn) completeHandshake(ws *wsmanager.Conn, answer wsmanager.MessageType, protocol Protocol, version int) bool {
	h := c.hub
	h.handshakes.RLock()
	defer h.handshakes.RUnlock()
	c.mu.Lock() // until the connection can be resumed: the client may lose the socket as soon as it has read the answer
	if c.closing {
		c.mu.Unlock()
		return false
	}
	if err := ws.Send(wsmanager.Message{Type: answer, Payload: handshakeAnswer("")}); err != nil {
		c.mu.Unlock()
		return false
	}
	c.session.protocol, c.session.handshakeDone = protocol, true
	if c.negotiatedStateful() && version == 2 {
		if err := c.outliveSocket(ws); err != nil {
			c.mu.Unlock()
			return false // the socket has ended, or the Manager is shutting down
		}
	}
	c.ready, c.connecting = true, true
	c.timer.Reset(h.opts.KeepAliveInterval)
	c.mu.Unlock()
	h.counters.handshakes.Add(1)
	if c.session.sink == nil {
		_ = ws.Ready(c.variant) // fails if the socket is closing; then OnClose follows
	}
	h.conns.Store(c.id, c)
	return true
}

func (c *conn) refuseHandshake(ws *wsmanager.Conn, text string, err error) {
	_ = ws.Send(wsmanager.Message{Type: wsmanager.TextMessage, Payload: handshakeAnswer(text)}) // the client may have left
	c.close(nil, wsmanager.StatusNormalClosure, quoting(err))
}

// negotiatedStateful reports whether the client has negotiated stateful reconnect. It is used only if the handshake asks for
// version 2.
func (c *conn) negotiatedStateful() bool { return c.ticket != nil && c.ticket.Stateful }
