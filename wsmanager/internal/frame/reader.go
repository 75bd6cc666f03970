package frame

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/bytepool"
)

// A Handler receives the events of a [Reader]. Payloads are lent for the call. An error
// stops the Reader, and Feed returns it.
type Handler interface {
	// OnData receives a whole message. op is ws.OpText or ws.OpBinary. A text is valid
	// UTF-8. more reports whether Feed has further bytes of the peer behind it.
	OnData(op ws.OpCode, payload []byte, more bool) error
	// OnCompressed is OnData for a message that the handler has to inflate and, if it is
	// a text, to check for valid UTF-8.
	OnCompressed(op ws.OpCode, payload []byte, more bool) error
	// OnPiece receives the next part of a message, in place of OnData and OnCompressed, if
	// Config.Pieces is set.
	OnPiece(p Piece) error
	OnPing(payload []byte) error
	OnPong(payload []byte) error
	// OnClose receives a close frame: 1005 if it has no code.
	OnClose(code ws.StatusCode, reason string) error
}

// ErrTaken is returned by a [Handler] if another goroutine has taken over the Reader
// during the call.
var ErrTaken = errors.New("wsmanager: another goroutine reads the connection")

// Config describes the direction of a connection that a [Reader] reads.
type Config struct {
	Masked bool // frames must be masked: the peer is a client
	Limit  int  // of a message, in bytes

	// CompressedLimit is the limit of a message before it is inflated, in bytes. 0:
	// compression was not negotiated, and a compressed message is a protocol error.
	CompressedLimit int

	// Pieces delivers messages in pieces of at most Limit bytes, as they arrive. Then Limit
	// and CompressedLimit do not bound the message.
	Pieces bool

	// Inflater returns an Inflater for one message. It is needed for Pieces if compression was
	// negotiated.
	Inflater func() Inflater
}

// Reader turns the bytes of one direction of a connection into messages and control
// frames, regardless of how the bytes are split. It is not safe for concurrent use.
type Reader struct {
	cfg Config

	hdr    [ws.MaxHeaderSize]byte // an incomplete header
	hdrLen uint8

	failed  bool // after a protocol error nothing more can be read
	inFrame bool
	head    ws.Header // of the current frame
	done    int64     // bytes of its payload that were read

	op         ws.OpCode // of the message that is being assembled; 0: none
	compressed bool      // the message is
	msg        []byte    // its payload so far, as received
	empty      uint8     // its fragments without payload
	text       UTF8
	ctl        []byte // payload of an incomplete control frame

	unread []byte // while a Handler receives a message or a piece: the bytes behind it

	pieces pieces // of the current message
}

// readers pools Readers: a connection needs one only while it receives something.
var readers = sync.Pool{New: func() any { return new(Reader) }}

// GetReader returns a Reader, to be returned with [PutReader].
func GetReader(cfg Config) *Reader {
	r := readers.Get().(*Reader)
	r.cfg = cfg
	return r
}

// PutReader returns a Reader to the pool. The caller must not use it afterwards.
func PutReader(r *Reader) {
	*r = Reader{}
	readers.Put(r)
}

// Idle reports whether the Reader is between two messages and holds nothing.
func (r *Reader) Idle() bool {
	return !r.failed && !r.inFrame && r.hdrLen == 0 && r.op == 0
}

// Failed reports whether a protocol error has occurred. Feed must not be called then.
func (r *Reader) Failed() bool { return r.failed }

// Buffered returns the capacity of the buffers for the current message and control
// frame, in bytes.
func (r *Reader) Buffered() int { return cap(r.msg) + cap(r.ctl) }

// SetUnread sets the bytes that [Reader.TakeUnread] returns, for callbacks that run before
// the first Feed. nil resets it.
func (r *Reader) SetUnread(p []byte) { r.unread = p }

// TakeUnread returns a copy of the part of Feed's argument behind the message or piece that a
// [Handler] is receiving, because Feed's caller owns the memory. A goroutine that takes over
// the Reader calls it, and then Feed with the result, unless that is nil. It is empty and not
// nil if Feed has only to continue a message that was received already.
func (r *Reader) TakeUnread() []byte {
	rest := bytes.Clone(r.unread)
	r.unread = nil
	if r.pieces.inflater != nil {
		r.pieces.inflater = r.pieces.inflater.Clone() // the handler's piece is in the memory of the present one
	}
	if r.pieces.inflating && rest == nil {
		rest = []byte{}
	}
	return rest
}

// Feed reads p, changing it in place, and calls h for each event. On an error it returns
// the number of bytes read until then. If the error is h's, Feed can be called again for
// the rest. If it is [ErrTaken], Feed has not touched the Reader since h returned, and
// the caller must not either.
func (r *Reader) Feed(p []byte, h Handler) (read int, err error) {
	size := len(p)
	if r.pieces.inflating { // continues after a takeover, or an error of h
		if err := r.inflate(p, h); err != nil {
			return 0, err
		}
	}
	for len(p) > 0 {
		if !r.inFrame {
			n, err := r.header(p)
			if err != nil {
				r.failed = true
				return size - len(p), err
			}
			p = p[n:]
			if !r.inFrame {
				break // the header is incomplete
			}
		}
		n := int(min(int64(len(p)), r.head.Length-r.done))
		if r.cfg.Pieces {
			n = min(n, r.cfg.Limit)
		}
		chunk := p[:n:n] // appending to a payload must not overwrite the bytes behind it
		p = p[n:]
		if r.head.Masked {
			ws.Cipher(chunk, r.head.Mask, int(r.done&3))
		}
		r.done += int64(n)
		var err error
		if r.head.OpCode.IsControl() {
			err = r.control(chunk, h)
		} else if r.cfg.Pieces {
			err = r.piece(chunk, p, h)
		} else {
			err = r.data(chunk, p, h)
		}
		if err != nil {
			return size - len(p), err
		}
	}
	return size, nil
}

// header takes bytes of a frame header from p and returns their number. It sets
// r.inFrame if the header is complete.
func (r *Reader) header(p []byte) (int, error) {
	h, n, err := parseHeader(p, r.cfg.Masked)
	taken := n
	if r.hdrLen > 0 || err == nil && n == 0 {
		had := int(r.hdrLen)
		r.hdrLen += uint8(copy(r.hdr[had:], p))
		h, n, err = parseHeader(r.hdr[:r.hdrLen], r.cfg.Masked)
		taken = n - had
		if n == 0 {
			taken = int(r.hdrLen) - had
		}
	}
	begins := h.OpCode == ws.OpText || h.OpCode == ws.OpBinary
	compressed := r.compressed && !begins
	if begins && r.cfg.CompressedLimit > 0 && h.Rsv1() {
		compressed = true
		h.Rsv = ws.Rsv(false, h.Rsv2(), h.Rsv3()) // elsewhere CheckHeader refuses it (RFC 7692, section 6.1)
	}
	if err == nil {
		err = ws.CheckHeader(h, r.state())
	}
	if err != nil {
		return 0, protocolError(err)
	}
	if n == 0 {
		return taken, nil
	}
	if limit := r.wireLimit(compressed); !r.cfg.Pieces && !h.OpCode.IsControl() && h.Length > int64(limit-len(r.msg)) {
		return 0, &Error{Code: ws.StatusMessageTooBig, Err: fmt.Errorf("a message is bigger than %d bytes", limit)}
	}
	r.hdrLen, r.inFrame, r.head, r.done = 0, true, h, 0
	if begins {
		r.op, r.compressed, r.text, r.empty = h.OpCode, compressed, UTF8{}, 0
		r.pieces.started = false
	}
	if r.cfg.Pieces && h.Length > 0 && !h.OpCode.IsControl() {
		r.empty = 0 // the message may have any number of fragments
	}
	if h.Length == 0 && !h.Fin {
		if r.empty++; r.empty > maxEmptyFragments {
			return 0, &Error{Code: ws.StatusPolicyViolation, Err: ErrEmptyFragments}
		}
	}
	return taken, nil
}

// maxEmptyFragments is the number of fragments without payload that may precede the last
// one of a message, or with Config.Pieces the next one that has a payload. The message limit
// bounds the other fragments; without this limit a peer could send empty ones endlessly, and
// limits per message would not see them.
const maxEmptyFragments = 100

// ErrEmptyFragments is the cause of an [Error] about a message with too many fragments
// without payload.
var ErrEmptyFragments = fmt.Errorf("more than %d fragments of a message are empty", maxEmptyFragments)

// wireLimit returns the limit of a message as received, in bytes.
func (r *Reader) wireLimit(compressed bool) int {
	if compressed {
		return r.cfg.CompressedLimit
	}
	return r.cfg.Limit
}

func (r *Reader) state() ws.State {
	s := ws.StateClientSide
	if r.cfg.Masked {
		s = ws.StateServerSide
	}
	if r.op != 0 {
		s = s.Set(ws.StateFragmented)
	}
	return s
}

// data takes a chunk of a data frame; rest are the bytes behind it.
func (r *Reader) data(chunk, rest []byte, h Handler) error {
	frameEnds := r.done == r.head.Length
	ends := frameEnds && r.head.Fin
	if r.op == ws.OpText && !r.compressed && (!r.text.Feed(chunk) || ends && !r.text.Complete()) {
		r.failed = true
		return InvalidUTF8()
	}
	if !ends || len(r.msg) > 0 {
		r.collect(chunk)
		if chunk = r.msg[:len(r.msg):len(r.msg)]; !ends {
			r.inFrame = !frameEnds
			return nil
		}
	}
	op, compressed, msg := r.op, r.compressed, r.msg
	r.inFrame, r.op, r.compressed, r.msg = false, 0, false, nil
	if len(rest) > 0 {
		r.unread = rest
	}
	err := message(h, op, compressed, chunk, len(rest) > 0)
	if len(rest) > 0 && err != ErrTaken {
		r.unread = nil
	}
	bytepool.Put(msg) // the handler has returned, also if another goroutine has taken over
	return err
}

func message(h Handler, op ws.OpCode, compressed bool, payload []byte, more bool) error {
	if compressed {
		return h.OnCompressed(op, payload, more)
	}
	return h.OnData(op, payload, more)
}

// control takes a chunk of a control frame.
func (r *Reader) control(chunk []byte, h Handler) error {
	if r.done < r.head.Length {
		r.ctl = append(r.ctl, chunk...)
		return nil
	}
	if len(r.ctl) > 0 {
		chunk = append(r.ctl, chunk...)
	}
	r.inFrame, r.ctl = false, nil
	switch r.head.OpCode {
	case ws.OpPing:
		return h.OnPing(chunk)
	case ws.OpPong:
		return h.OnPong(chunk)
	default:
		code, reason, err := parseClose(chunk)
		if err != nil {
			r.failed = true
			return err
		}
		return h.OnClose(code, reason)
	}
}
