package hub

import (
	"context"
	"errors"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// frame makes a WebSocket message of a record.
func (s *session) frame(record []byte) wsmanager.Message {
	return wsmanager.Message{Type: s.protocol.MessageType(), Payload: record}
}

// touch notes that something is sent.
func (s *session) touch() { s.lastSent.Store(int64(s.config.now())) }

// post sends a counted record without waiting. The session keeps the record.
func (s *session) post(record []byte) error {
	switch {
	case s.sink != nil:
		return s.sink.Send(s.frame(record))
	case s.replay != nil:
		return s.replay.deliver([][]byte{record})
	}
	return s.send(record)
}

// Deliver implements wsmanager.Sink.
func (s *session) Deliver(_ wsmanager.MessageType, records [][]byte) error {
	return s.replay.deliver(records)
}

func (s *session) send(record []byte) error {
	ws := s.socket.Load()
	if ws == nil {
		return ErrClosed
	}
	s.touch()
	return ws.Send(s.frame(record))
}

// write sends a counted record and waits until there is space for it. The session keeps the record.
func (s *session) write(ctx context.Context, record []byte) error {
	if s.replay != nil {
		return s.replay.write(ctx, record, s.post)
	}
	ws := s.socket.Load()
	if ws == nil {
		return ErrClosed
	}
	s.touch()
	m := s.frame(record)
	if !s.config.reportWaits {
		return ws.SendContext(ctx, m)
	}
	err := ws.Send(m)
	if errors.Is(err, wsmanager.ErrOutboxFull) {
		s.owner.addWaiting(1)
		defer s.owner.addWaiting(-1)
		err = ws.SendContext(ctx, m)
	}
	return err
}

// writeMessage encodes a counted message and writes it. It returns ErrMessageTooBig if the record exceeds limit.
func (s *session) writeMessage(ctx context.Context, m Message, limit int) error {
	record, err := s.protocol.Append(nil, m)
	if err != nil {
		return err
	}
	if err := checkSize(s.protocol, record, limit); err != nil {
		return err
	}
	return s.write(ctx, record)
}

// control sends a message that is not counted, if the session has a socket.
func (s *session) control(m Message) error {
	record, err := s.protocol.Append(nil, m)
	if err != nil {
		return err
	}
	if s.replay != nil {
		return s.replay.control(record)
	}
	return s.send(record)
}

// closeSocket sends a Close message behind everything that was sent before, and closes the socket. live is false if the
// other side waits for a Sequence, without which it would ignore the Close.
func (s *session) closeSocket(ws *wsmanager.Conn, m *Close, code wsmanager.StatusCode, live bool) {
	var last []byte
	if !live {
		last, _ = s.protocol.Append(last, s.replay.sequence()) // version 2 needs a protocol that encodes it
	}
	last, err := s.protocol.Append(last, m)
	if err != nil { // a protocol without Close leaves it to the close frame
		last = nil
	}
	end := func() {
		if last != nil {
			_ = ws.CloseWith(s.frame(last), code, "") // fails for invalid codes and big messages only
			return
		}
		_ = ws.Close(code, "") // fails for invalid codes only
	}
	if s.replay != nil {
		s.replay.whenDrained(end)
		return
	}
	end()
}
