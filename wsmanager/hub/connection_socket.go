package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/cutter"
)

// clientSocket is a socket of a Connection, from the attempt to connect it to its end.
type clientSocket struct {
	c               *Connection
	session         *session
	endpoint        *endpoint
	resuming        bool          // the session had a socket before
	handshakeResult chan error    // buffered; gets the result of the handshake, or of the resume
	done            chan struct{} // closed when the socket has ended

	// Owned by the socket's callbacks.
	ws      *wsmanager.Conn
	records cutter.Cutter // the start of a record whose end has not arrived

	// Guarded by Connection.mu.
	gone         bool   // ws has ended; set while the reader waits
	abandoned    bool   // the Connection does not use the socket any further
	closeMessage *Close // of the server; nil if none was received
	cause        error  // why the client ended the socket
	ended        error  // of wsmanager's OnClose
}

// connect negotiates and makes one attempt to connect.
func (c *Connection) connect(ctx context.Context) (*clientSocket, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.stopped, func() { cancel(ErrClosed) })()
	e, err := c.negotiator.negotiate(ctx)
	if err != nil {
		return nil, err
	}
	return c.dial(ctx, &clientSocket{c: c, session: &session{owner: c, config: &c.sessions, protocol: c.protocol}, endpoint: e})
}

// dial connects the socket and waits for the handshake. A socket that resumes has no handshake.
func (c *Connection) dial(ctx context.Context, s *clientSocket) (*clientSocket, error) {
	s.handshakeResult, s.done = make(chan error, 1), make(chan struct{})
	ctx, cancel := context.WithTimeoutCause(ctx, c.opts.HandshakeTimeout, ErrHandshakeTimeout)
	defer cancel()
	opts := c.opts.WebSocket
	opts.Handshake.Header = s.endpoint.header
	ws, err := wsmanager.Dial(ctx, s.endpoint.url, wsmanager.Callbacks{
		OnConnect: s.connected,
		OnPiece:   func(_ *wsmanager.Conn, p wsmanager.Piece) error { s.received(p); return nil },
		OnClose:   s.closed,
	}, opts)
	if err != nil {
		return nil, err
	}
	if err := s.waitForHandshake(ctx); err != nil {
		c.abandon(s, ws)
		return nil, err
	}
	return s, nil
}

func (s *clientSocket) waitForHandshake(ctx context.Context) error {
	select {
	case err := <-s.handshakeResult:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.done:
	}
	select {
	case err := <-s.handshakeResult: // it came before the end
		return err
	default:
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return withPrefix(errNoHandshakeAnswer, s.ended)
}

var errNoHandshakeAnswer = errors.New("hub: the server ended the connection before the handshake")

// abandon closes a socket that the Connection does not use any further.
func (c *Connection) abandon(s *clientSocket, ws *wsmanager.Conn) {
	c.mu.Lock()
	s.abandoned = true
	s.detachLocked()
	c.mu.Unlock()
	_ = ws.Close(wsmanager.StatusNormalClosure, "") // fails for invalid codes only
	c.running.run(func() { <-s.done })
}

// detachLocked takes the socket from its Connection and its session.
func (s *clientSocket) detachLocked() {
	if s.c.socket == s {
		s.c.socket = nil
		s.session.socket.Store(nil)
	}
	s.c.changed.Broadcast()
}

// connected handles wsmanager's OnConnect.
func (s *clientSocket) connected(ws *wsmanager.Conn) error {
	s.ws = ws
	if s.resuming {
		s.handshakeResult <- s.install()
		return nil
	}
	version := 1
	if s.endpoint.stateful {
		version = 2
	}
	request, err := json.Marshal(struct {
		Protocol string `json:"protocol"`
		Version  int    `json:"version"`
	}{s.c.protocol.Name(), version})
	if err != nil {
		return err
	}
	return ws.Send(s.session.frame(append(request, separator)))
}

// closed handles wsmanager's OnClose.
func (s *clientSocket) closed(_ *wsmanager.Conn, err error) {
	s.c.mu.Lock()
	s.ended = err
	s.detachLocked()
	s.c.mu.Unlock()
	close(s.done)
}

// received handles wsmanager's OnPiece.
func (s *clientSocket) received(p wsmanager.Piece) {
	err := s.session.receive(s, &s.records, p.Type, p.Data)
	if err == nil || errors.Is(err, errSocketEnded) {
		return
	}
	err = inContext("invalid message of the server", quoting(err))
	select {
	case s.handshakeResult <- err: // dial may still wait for it
	default:
	}
	s.fail(&protocolError{err})
}

// fail closes the socket because of an error.
func (s *clientSocket) fail(err error) {
	s.c.mu.Lock()
	if s.cause == nil {
		s.cause = err
	}
	s.c.mu.Unlock()
	_ = s.ws.Close(wsmanager.StatusProtocolError, "") // fails for invalid codes only
}

// protocolError means that the server has broken the protocol.
type protocolError struct{ err error }

func (e *protocolError) Error() string { return e.err.Error() }
func (e *protocolError) Unwrap() error { return e.err }

// errSocketEnded stops the reader of a socket that is closing or not used any further.
var errSocketEnded = errors.New("hub: the socket has ended")

// webSocket implements inbound.
func (s *clientSocket) webSocket() *wsmanager.Conn { return s.ws }

// active implements inbound.
func (s *clientSocket) active() bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return !s.abandoned && !s.gone
}

// handshake implements inbound.
func (s *clientSocket) handshake(record []byte, _ wsmanager.MessageType) error {
	err := s.readHandshakeAnswer(record)
	s.handshakeResult <- err
	if err != nil {
		return errSocketEnded // dial closes the socket
	}
	return nil
}

func (s *clientSocket) readHandshakeAnswer(record []byte) error {
	var answer struct {
		Error *string         `json:"error"`
		Type  json.RawMessage `json:"type"`
	}
	if err := json.Unmarshal(record, &answer); err != nil {
		return fmt.Errorf("decoding the answer to the handshake: %w", err)
	}
	switch {
	case answer.Type != nil:
		return errors.New("the server sent a message before its answer to the handshake")
	case answer.Error != nil:
		return &RemoteError{"handshake", *answer.Error}
	}
	return s.install()
}

// install makes the socket the present one of its Connection, before further messages are read.
func (s *clientSocket) install() error {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.abandoned || c.closing {
		return errSocketEnded
	}
	s.session.installed(s.ws)
	c.socket = s
	if s.resuming {
		s.session.replay.resumeClient(s.ws)
		return nil
	}
	if s.endpoint.stateful {
		s.session.replay = newReplay(s.session, s.ws)
	}
	s.session.handshakeDone = true
	c.session, c.id = s.session, s.endpoint.id
	_ = s.session.control(&Ping{}) // as Microsoft's clients do: the server expects pings after the first one
	return nil
}

// handle implements inbound. It queues calls of the server and handles all other messages at once.
func (s *clientSocket) handle(msg Message) error {
	c := s.c
	switch m := msg.(type) {
	case *Invocation:
		return c.handlers.enqueue(s, m)
	case *StreamItem:
		return c.deliverItem(s, m)
	case *Completion:
		c.deliverCompletion(m)
	case *Close:
		c.mu.Lock()
		s.closeMessage = m
		c.mu.Unlock()
		_ = s.ws.Close(wsmanager.StatusNormalClosure, "") // fails for invalid codes only
	}
	return nil // a server sends no other messages
}
