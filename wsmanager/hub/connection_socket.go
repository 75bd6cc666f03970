package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// socket is a socket of a Connection, from the attempt to make it to its end.
type socket struct {
	c         *Connection
	agreement *agreement
	resuming  bool          // it goes on with a connection that broke
	shaken    chan error    // how the handshake ended; has room for it
	done      chan struct{} // closed when it has ended

	// Owned by the socket's callbacks.
	ws      *wsmanager.Conn
	partial []byte // of a record whose end has not come
	agreed  bool   // the handshake is over

	// Guarded by Connection.mu.
	abandoned bool   // nobody waits for it any more
	close     *Close // the server's, nil if none came
	cause     error  // why we have ended it
	ended     error  // what wsmanager says
}

// connect makes one attempt.
func (c *Connection) connect(ctx context.Context) (*socket, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.stopped, func() { cancel(ErrClosed) })()
	a, err := c.negotiate(ctx)
	if err != nil {
		return nil, err
	}
	return c.dial(ctx, &socket{c: c, agreement: a})
}

// dial makes a socket, and shakes hands unless it resumes.
func (c *Connection) dial(ctx context.Context, s *socket) (*socket, error) {
	s.shaken, s.done = make(chan error, 1), make(chan struct{})
	ctx, cancel := context.WithTimeoutCause(ctx, c.opts.HandshakeTimeout, ErrHandshakeTimeout)
	defer cancel()
	opts := c.opts.WebSocket
	opts.Header = s.agreement.header
	if s.agreement.stateful {
		opts.SlowConsumer = wsmanager.SlowConsumerClose // nothing may be missing between two numbers
		opts.OutboxMessages = max(opts.OutboxMessages, opts.OutboxBytes/16, 1)
		opts.OutboxBytes = twice(opts.OutboxBytes) // what is sent again, and what comes on top
	}
	ws, err := wsmanager.Dial(ctx, s.agreement.url, wsmanager.Callbacks{
		OnConnect: s.connected,
		OnMessage: func(_ *wsmanager.Conn, m wsmanager.Message) error { s.receive(m.Payload); return nil },
		OnClose:   s.closed,
	}, opts)
	if err != nil {
		return nil, err
	}
	select {
	case err = <-s.shaken:
	case <-s.done:
		select {
		case err = <-s.shaken: // it came first
		default:
			c.mu.Lock()
			err = errors.Join(errors.New("the server ended the connection before the handshake was over"), s.ended)
			c.mu.Unlock()
		}
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		c.giveUp(s, ws)
		return nil, err
	}
	return s, nil
}

// giveUp ends a socket for which nobody waits.
func (c *Connection) giveUp(s *socket, ws *wsmanager.Conn) {
	c.mu.Lock()
	s.abandoned = true
	if c.socket == s {
		c.socket = nil
	}
	c.changed.Broadcast()
	c.mu.Unlock()
	_ = ws.Close(wsmanager.StatusNormalClosure, "") // the code is a valid one
	c.running.run(func() { <-s.done })
}

// connected is wsmanager's OnConnect.
func (s *socket) connected(ws *wsmanager.Conn) error {
	s.ws = ws
	if s.resuming {
		s.agreed = true
		s.shaken <- s.install()
		return nil
	}
	version := 1
	if s.agreement.stateful {
		version = 2
	}
	request, err := json.Marshal(struct {
		Protocol string `json:"protocol"`
		Version  int    `json:"version"`
	}{s.c.protocol.Name(), version})
	if err != nil {
		return err
	}
	return ws.Send(wsmanager.Message{Type: s.c.protocol.MessageType(), Payload: append(request, separator)})
}

// closed is wsmanager's OnClose.
func (s *socket) closed(_ *wsmanager.Conn, err error) {
	c := s.c
	c.mu.Lock()
	s.ended = err
	if c.socket == s {
		c.socket = nil
	}
	c.changed.Broadcast()
	c.mu.Unlock()
	close(s.done)
}

// fail ends the socket for a reason of ours.
func (s *socket) fail(err error) {
	c := s.c
	c.mu.Lock()
	if s.cause == nil {
		s.cause = err
	}
	c.mu.Unlock()
	_ = s.ws.Close(wsmanager.StatusProtocolError, "") // the code is a valid one
}

// receive reads a WebSocket message: one record, or several, or a part of one.
func (s *socket) receive(data []byte) {
	c := s.c
	c.reading.Store(true)
	defer func() {
		c.lastRead.Store(int64(c.now()))
		c.reading.Store(false)
	}()
	c.lastRead.Store(int64(c.now()))
	if len(s.partial) > 0 {
		data = append(s.partial, data...)
		s.partial = nil
	}
	for len(data) > 0 {
		cut := cutText
		if s.agreed {
			cut = c.protocol.Cut
		}
		record, n, err := cut(data, c.opts.MaxMessageSize)
		switch {
		case err != nil:
		case n == 0:
			s.partial = append([]byte(nil), data...)
			return
		case !s.agreed:
			err = s.handshaken(record)
			s.shaken <- err
			if err != nil {
				return // dial ends it
			}
		default:
			var m Message
			if m, err = c.protocol.Parse(record); err == nil && m != nil {
				err = s.handle(m)
			}
		}
		if errors.Is(err, errGone) {
			return
		}
		if err != nil {
			err = fmt.Errorf("hub: from the server: %w", err)
			select {
			case s.shaken <- err: // if it is waited for
			default:
			}
			s.fail(&protocolError{err})
			return
		}
		data = data[n:]
	}
}

// protocolError is what the server has sent against the protocol.
type protocolError struct{ err error }

func (e *protocolError) Error() string { return e.err.Error() }
func (e *protocolError) Unwrap() error { return e.err }

// errGone: the socket is not the Connection's any more, or ends.
var errGone = errors.New("hub: the socket is over")

// handshaken reads the answer to the handshake.
func (s *socket) handshaken(record []byte) error {
	var answer struct {
		Error *string         `json:"error"`
		Type  json.RawMessage `json:"type"`
	}
	if err := json.Unmarshal(record, &answer); err != nil {
		return fmt.Errorf("the answer to the handshake: %w", err)
	}
	switch {
	case answer.Type != nil:
		return errors.New("the server sent a message before its answer to the handshake")
	case answer.Error != nil:
		return &RemoteError{"handshake", *answer.Error}
	}
	s.agreed = true
	return s.install()
}

// install makes the socket that of its Connection, before anything more is read.
func (s *socket) install() error {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.abandoned || c.closing {
		return errGone
	}
	now := int64(c.now())
	c.lastRead.Store(now)
	c.lastSent.Store(now)
	if !s.resuming {
		c.id, c.replay = s.agreement.id, nil
		c.epoch++
		if s.agreement.stateful {
			c.replay = newReplay(c.replaySettings(), s.ws)
		}
	}
	c.socket = s
	if s.resuming {
		c.replay.resume(s.ws)
	} else if data, err := c.protocol.Append(nil, &Ping{}); err == nil {
		_ = s.ws.Send(c.frame(data)) // as all clients do: a promise to ping
	}
	return nil
}

// handle handles a message. Calls of the server are queued.
func (s *socket) handle(msg Message) error {
	c := s.c
	c.mu.Lock()
	gone, r := s.abandoned, c.replay
	c.mu.Unlock()
	if gone {
		return errGone
	}
	if r != nil && msg.Kind().counted() && !r.arrived() {
		return nil // it was handled already, before the connection broke
	}
	switch m := msg.(type) {
	case *Invocation:
		return c.enqueue(s, m)
	case *StreamItem:
		return c.itemCame(s, m)
	case *Completion:
		c.completed(m)
	case *Close:
		c.mu.Lock()
		s.close = m
		c.mu.Unlock()
		_ = s.ws.Close(wsmanager.StatusNormalClosure, "") // the code is a valid one
	case *Ack:
		if r != nil {
			return r.acknowledge(m.SequenceID)
		}
	case *Sequence:
		if r != nil {
			return r.resync(m.SequenceID)
		}
	}
	return nil // pings say nothing else, and what is left is none of a server's
}
