package frame

import "github.com/gobwas/ws"

// Piece is a part of a message.
type Piece struct {
	Op         ws.OpCode // of the message: ws.OpText or ws.OpBinary
	Compressed bool      // the message was; Data is inflated
	Data       []byte    // lent for the call; empty in a last piece only
	First      bool
	Last       bool
	More       bool // Feed has further bytes of the peer behind the piece
}

// Inflater inflates one compressed message as it arrives. It belongs to the goroutine that
// reads.
type Inflater interface {
	// Feed adds received bytes of the message. Next must have returned more == false before.
	// The Inflater does not change the bytes. It reads them until Next returns more == false.
	Feed(p []byte)

	// End notes that all bytes of the message were added.
	End()

	// Next returns the next inflated bytes, at most limit. They are valid until the next
	// call, and may be changed. more is false if no further bytes follow without Feed or End. An error is an
	// [*Error].
	Next(limit int) (p []byte, more bool, err error)

	// Clone returns an Inflater that continues where this one is, and shares no memory with
	// it.
	Clone() Inflater

	// Release ends the use of the Inflater, and of the bytes that Next has returned.
	Release()
}

// pieces is the state of a message that is delivered in pieces.
type pieces struct {
	started   bool     // the first piece was delivered
	skip      bool     // see Reader.Skip
	inflating bool     // inflater may have output
	ended     bool     // inflater has all bytes of the message
	inflater  Inflater // nil between compressed messages
}

// Skip drops the payloads of all messages from now on. The handler gets one piece without
// data at the end of each message. It may be called by the handler.
func (r *Reader) Skip() { r.pieces.skip = true }

// piece takes a chunk of a data frame and delivers it; rest are the bytes behind it.
func (r *Reader) piece(chunk, rest []byte, h Handler) error {
	r.inFrame = r.done < r.head.Length
	ends := !r.inFrame && r.head.Fin
	s := &r.pieces
	if s.skip && s.inflater != nil {
		s.inflater.Release()
		s.inflater = nil
	}
	if !r.compressed || s.skip {
		return r.deliver(chunk, ends, rest, h)
	}
	if s.inflater == nil {
		s.inflater = r.cfg.Inflater()
	}
	s.inflater.Feed(chunk)
	if ends {
		s.inflater.End()
	}
	s.inflating, s.ended = true, ends
	return r.inflate(rest, h)
}

// inflate delivers the output of the inflater until it needs further bytes of the peer.
func (r *Reader) inflate(rest []byte, h Handler) error {
	s := &r.pieces
	for s.inflating && !s.skip {
		inflater := s.inflater
		p, more, err := inflater.Next(r.cfg.Limit)
		if err != nil {
			r.failed = true
			return err
		}
		last := s.ended && !more
		if s.inflating = more; last {
			s.inflater = nil
		}
		err = r.deliver(p, last, rest, h)
		if last || err == ErrTaken { // TakeUnread has cloned it
			inflater.Release()
		}
		if err != nil {
			return err
		}
	}
	if !s.inflating {
		return nil
	}
	s.inflater.Release()
	s.inflating, s.inflater = false, nil
	if !s.ended {
		return nil
	}
	return r.deliver(nil, true, rest, h)
}

// deliver passes the next data of a message to the handler; rest are the bytes behind it.
func (r *Reader) deliver(p []byte, last bool, rest []byte, h Handler) error {
	s := &r.pieces
	if s.skip {
		p = nil
	} else if r.op == ws.OpText && (!r.text.Feed(p) || last && !r.text.Complete()) {
		r.failed = true
		return InvalidUTF8()
	}
	if len(p) == 0 && !last {
		return nil
	}
	piece := Piece{Op: r.op, Compressed: r.compressed, Data: p[:len(p):len(p)], First: !s.started, Last: last, More: len(rest) > 0}
	s.started = true
	if last {
		r.op, r.compressed = 0, false
	}
	r.unread = rest
	err := h.OnPiece(piece)
	if err != ErrTaken {
		r.unread = nil
	}
	return err
}
