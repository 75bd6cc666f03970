package wsmanager

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

var (
	errInvalidUTF8   = errors.New("a text is not valid UTF-8")
	errCloseTooShort = errors.New("a close frame has a payload of one byte")
)

// frameHandler is told what a frameReader has found. The payloads are lent for
// the call. An error ends the reading and is returned by feed.
type frameHandler interface {
	// more says that further bytes of the peer are at hand.
	onData(t MessageType, payload []byte, more bool) error
	// onCompressed is onData of a message that is still to be inflated.
	onCompressed(t MessageType, payload []byte, more bool) error
	onPing(payload []byte) error
	onPong(payload []byte) error
	onCloseFrame(code StatusCode, reason string) error
}

// frameReader turns the bytes of one direction of a connection into messages
// and control frames, whatever way the bytes are cut. It knows nothing of
// sockets. Errors of the protocol are *CloseError with the code to close with.
type frameReader struct {
	masked  bool // frames must be masked: this is the server
	deflate bool // messages may be compressed
	limit   int  // of a message, in bytes

	hdr    [ws.MaxHeaderSize]byte // a header that is not complete yet
	hdrLen uint8

	broken  bool // after an error of the protocol nothing can be read any more
	inFrame bool
	head    ws.Header // of the frame that is being read
	done    int64     // how much of its payload was read

	typ        MessageType // of the message that is being assembled, 0 if there is none
	compressed bool        // it is
	msg        []byte      // what there is of it, as it came
	empty      uint8       // fragments of it without content
	text       utf8Check
	ctl        []byte // what there is of a control frame that arrives in pieces

	rest []byte // while a callback runs: what feed was given, behind its message
}

// frameReaders lends those of connections that are in the middle of something.
var frameReaders = sync.Pool{New: func() any { return new(frameReader) }}

func (c *Conn) getFrameReader() *frameReader {
	fr := frameReaders.Get().(*frameReader)
	fr.masked, fr.deflate, fr.limit = c.m.keys == nil, c.who.deflate, c.m.opts.MaxMessageSize
	return fr
}

func putFrameReader(fr *frameReader) {
	*fr = frameReader{}
	frameReaders.Put(fr)
}

// atRest reports whether the reader is between two messages and holds nothing.
func (fr *frameReader) atRest() bool {
	return !fr.broken && !fr.inFrame && fr.hdrLen == 0 && fr.typ == 0
}

func protocolError(err error) error {
	return &CloseError{Code: StatusProtocolError, Err: err}
}

// feed reads p, changing it in place, and calls h for all that is complete. With an
// error it says how many bytes it has read until then; if the error was h's, it can
// go on behind them. After errTaken the reader is another goroutine's, which has gone on
// behind them already.
func (fr *frameReader) feed(p []byte, h frameHandler) (read int, err error) {
	size := len(p)
	for len(p) > 0 {
		if !fr.inFrame {
			n, err := fr.header(p)
			if err != nil {
				fr.broken = true
				return size - len(p), err
			}
			p = p[n:]
			if !fr.inFrame {
				break // wants more
			}
		}
		n := int(min(int64(len(p)), fr.head.Length-fr.done))
		part := p[:n:n] // whoever appends to a payload must not reach what follows
		p = p[n:]
		if fr.head.Masked {
			ws.Cipher(part, fr.head.Mask, int(fr.done&3))
		}
		fr.done += int64(n)
		var err error
		if fr.head.OpCode.IsControl() {
			err = fr.control(part, h)
		} else {
			err = fr.data(part, p, h)
		}
		if err != nil {
			return size - len(p), err
		}
	}
	return size, nil
}

// header takes bytes of a frame header from p and returns how many. Once it is
// complete, fr.inFrame is set.
func (fr *frameReader) header(p []byte) (int, error) {
	h, n, err := parseHeader(p, fr.masked)
	taken := n
	if fr.hdrLen > 0 || err == nil && n == 0 {
		// It comes in pieces: collect it.
		had := int(fr.hdrLen)
		fr.hdrLen += uint8(copy(fr.hdr[had:], p))
		h, n, err = parseHeader(fr.hdr[:fr.hdrLen], fr.masked)
		taken = n - had
		if n == 0 {
			taken = int(fr.hdrLen) - had
		}
	}
	begins := h.OpCode == ws.OpText || h.OpCode == ws.OpBinary
	compressed := fr.compressed && !begins
	if begins && fr.deflate && h.Rsv1() {
		compressed = true
		h.Rsv = ws.Rsv(false, h.Rsv2(), h.Rsv3()) // anywhere else it is as wrong as the others
	}
	if err == nil {
		err = ws.CheckHeader(h, fr.state())
	}
	if err != nil {
		return 0, protocolError(err)
	}
	if n == 0 {
		return taken, nil
	}
	if limit := fr.wireLimit(compressed); !h.OpCode.IsControl() && h.Length > int64(limit-len(fr.msg)) {
		return 0, &CloseError{Code: StatusMessageTooBig, Err: fmt.Errorf("a message is bigger than %d bytes", limit)}
	}
	fr.hdrLen, fr.inFrame, fr.head, fr.done = 0, true, h, 0
	if begins {
		fr.typ, fr.compressed, fr.text, fr.empty = MessageType(h.OpCode), compressed, utf8Check{}, 0
	}
	if h.Length == 0 && !h.Fin {
		if fr.empty++; fr.empty > maxEmptyFragments {
			return 0, &CloseError{Code: StatusPolicyViolation, Err: errEmptyFragments}
		}
	}
	return taken, nil
}

// maxEmptyFragments is how many fragments without content a message may have before
// its last one. The others are bounded by the size of a message; these would let one go
// on for ever, at a peer's full speed and past Options.MessageRate.
const maxEmptyFragments = 100

var errEmptyFragments = fmt.Errorf("%w: more than %d fragments of a message are empty", ErrRateLimit, maxEmptyFragments)

// wireLimit is how many bytes a message may have as it comes.
func (fr *frameReader) wireLimit(compressed bool) int {
	if compressed {
		return maxCompressed(fr.limit)
	}
	return fr.limit
}

func (fr *frameReader) state() ws.State {
	s := ws.StateClientSide
	if fr.masked {
		s = ws.StateServerSide
	}
	if fr.typ != 0 {
		s = s.Set(ws.StateFragmented)
	}
	return s
}

// data takes a part of a data frame; rest is what there is behind it.
func (fr *frameReader) data(part, rest []byte, h frameHandler) error {
	frameEnds := fr.done == fr.head.Length
	ends := frameEnds && fr.head.Fin
	if fr.typ == TextMessage && !fr.compressed && (!fr.text.feed(part) || ends && !fr.text.complete()) {
		fr.broken = true
		return &CloseError{Code: StatusInvalidPayloadData, Err: errInvalidUTF8}
	}
	if !ends {
		fr.msg = appendBounded(fr.msg, part, fr.wireLimit(fr.compressed))
		fr.inFrame = !frameEnds
		return nil
	}
	if len(fr.msg) > 0 {
		part = appendBounded(fr.msg, part, fr.wireLimit(fr.compressed))
	}
	t, compressed := fr.typ, fr.compressed
	fr.inFrame, fr.typ, fr.compressed, fr.msg = false, 0, false, nil
	if len(rest) == 0 {
		return message(h, t, compressed, part, false)
	}
	fr.rest = rest
	err := message(h, t, compressed, part, true)
	if err != errTaken {
		fr.rest = nil
	}
	return err
}

func message(h frameHandler, t MessageType, compressed bool, payload []byte, more bool) error {
	if compressed {
		return h.onCompressed(t, payload, more)
	}
	return h.onData(t, payload, more)
}

// control takes a part of a control frame.
func (fr *frameReader) control(part []byte, h frameHandler) error {
	if fr.done < fr.head.Length {
		fr.ctl = append(fr.ctl, part...)
		return nil
	}
	if len(fr.ctl) > 0 {
		part = append(fr.ctl, part...)
	}
	fr.inFrame, fr.ctl = false, nil
	switch fr.head.OpCode {
	case ws.OpPing:
		return h.onPing(part)
	case ws.OpPong:
		return h.onPong(part)
	default:
		code, reason, err := parseClose(part)
		if err != nil {
			fr.broken = true
			return err
		}
		return h.onCloseFrame(code, reason)
	}
}

// parseClose reads the payload of a close frame (RFC 6455, section 5.5.1).
func parseClose(p []byte) (StatusCode, string, error) {
	switch len(p) {
	case 0:
		return StatusNoStatusReceived, "", nil
	case 1:
		return 0, "", protocolError(errCloseTooShort)
	}
	code := StatusCode(binary.BigEndian.Uint16(p))
	if !code.valid() {
		return 0, "", protocolError(fmt.Errorf("a close frame has the code %d", code))
	}
	if !utf8.Valid(p[2:]) {
		return 0, "", &CloseError{Code: StatusInvalidPayloadData, Err: errInvalidUTF8}
	}
	return code, string(p[2:]), nil
}

// appendBounded is append with a capacity that grows with what has arrived and
// never beyond limit: a header that promises much allocates nothing.
func appendBounded(dst, p []byte, limit int) []byte {
	if need := len(dst) + len(p); need > cap(dst) {
		grown := make([]byte, len(dst), min(max(need, 2*cap(dst), 512), max(limit, need)))
		copy(grown, dst)
		dst = grown
	}
	return append(dst, p...)
}
