package frametest

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
)

// ErrClosed is returned by a [Recorder] that has recorded a close frame.
var ErrClosed = errors.New("a close frame arrived")

// Recorder is a frame.Handler that records events as text, for example `text "hello"`.
type Recorder struct {
	Events []string

	// Inflate inflates compressed messages. If it is nil, they are recorded as received.
	Inflate func(op ws.OpCode, payload []byte) ([]byte, error)

	// Takes reports whether the reader is taken over during a message. nil: never.
	Takes func() bool

	reader  *frame.Reader // of Record
	feeding []byte        // the argument of Feed
	unread  []byte        // bytes behind the message during which the reader was taken over
	begun   bool          // a piece of a message has arrived, not the last one
	message []byte        // the pieces of the message
	readOn  bool          // the next reader has read unread already
	result  error         // its error
}

// Record passes stream to r in pieces of n bytes, all at once if n is 0. It returns the
// recorder's events, an error as the last of them, and the most memory that r held, in
// bytes.
func (e *Recorder) Record(r *frame.Reader, stream []byte, n int) (events []string, held int) {
	e.reader = r
	if n == 0 {
		n = max(1, len(stream))
	}
	for i := 0; i < len(stream); i += n {
		piece := bytes.Clone(stream[i:min(i+n, len(stream))]) // Feed changes it
		e.feeding = piece
		_, err := r.Feed(piece, e)
		for err == frame.ErrTaken {
			if e.readOn {
				err, e.readOn, e.result = e.result, false, nil
				continue
			}
			e.feeding = e.unread
			_, err = r.Feed(e.unread, e)
		}
		held = max(held, r.Buffered())
		if err != nil {
			var failure *frame.Error
			if errors.As(err, &failure) {
				e.Events = append(e.Events, fmt.Sprintf("fail %d", failure.Code))
			} else if err != ErrClosed {
				e.Events = append(e.Events, err.Error())
			}
			break
		}
	}
	return e.Events, held
}

// takeOver returns the error of a message's event.
func (e *Recorder) takeOver() error {
	if e.Takes == nil || !e.Takes() {
		return nil
	}
	e.unread = e.reader.TakeUnread()
	clear(e.feeding[len(e.feeding)-len(e.unread):]) // Feed must not read it after ErrTaken
	return frame.ErrTaken
}

// OnData implements frame.Handler.
func (e *Recorder) OnData(op ws.OpCode, payload []byte, _ bool) error {
	e.Events = append(e.Events, fmt.Sprintf("%s %q", Kind(op), payload))
	return e.takeOver()
}

// OnCompressed implements frame.Handler.
func (e *Recorder) OnCompressed(op ws.OpCode, payload []byte, _ bool) error {
	if e.Inflate != nil {
		var err error
		if payload, err = e.Inflate(op, payload); err != nil {
			return err
		}
	}
	e.Events = append(e.Events, fmt.Sprintf("compressed %s %q", Kind(op), payload))
	return e.takeOver()
}

// OnPiece implements frame.Handler. It records a message when its last piece has arrived, and
// before that an event for each piece that is not as promised. If the reader is taken over,
// the next one reads on before OnPiece returns.
func (e *Recorder) OnPiece(p frame.Piece) error {
	if p.First == e.begun {
		e.Events = append(e.Events, fmt.Sprintf("first: %v, after %q", p.First, e.message))
	}
	if len(p.Data) == 0 && !p.Last {
		e.Events = append(e.Events, "an empty piece")
	}
	held := bytes.Clone(p.Data)
	e.begun, e.message = !p.Last, append(e.message, held...)
	if p.Last {
		e.Events = append(e.Events, fmt.Sprintf("%s %q", Kind(p.Op), e.message))
		e.message = e.message[:0]
	}
	if err := e.takeOver(); err == nil {
		return nil
	}
	var err error
	e.feeding = e.unread
	if e.unread != nil {
		_, err = e.reader.Feed(e.unread, e)
	}
	if err != frame.ErrTaken {
		e.result = err
	}
	if !bytes.Equal(held, p.Data) {
		e.Events = append(e.Events, fmt.Sprintf("%q has become %q", held, p.Data))
	}
	e.unread, e.readOn = nil, true
	return frame.ErrTaken
}

// OnPing implements frame.Handler.
func (e *Recorder) OnPing(payload []byte) error {
	e.Events = append(e.Events, fmt.Sprintf("ping %q", payload))
	return nil
}

// OnPong implements frame.Handler.
func (e *Recorder) OnPong(payload []byte) error {
	e.Events = append(e.Events, fmt.Sprintf("pong %q", payload))
	return nil
}

// OnClose implements frame.Handler. It returns [ErrClosed].
func (e *Recorder) OnClose(code ws.StatusCode, reason string) error {
	e.Events = append(e.Events, fmt.Sprintf("close %d %q", code, reason))
	return ErrClosed
}

// Kind returns the word for a type of message in events.
func Kind(op ws.OpCode) string {
	switch op {
	case ws.OpText:
		return "text"
	case ws.OpBinary:
		return "binary"
	}
	return "unknown"
}
