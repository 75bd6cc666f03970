package wsmanager

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/broadcast"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
)

// Prepared is a message that can be sent any number of times, to any number of connections
// of any Manager. It is immutable. Its frame is made once for each [Variant] that is needed.
// Make one with [Prepare], [PrepareJSON] or [PrepareFunc].
type Prepared struct {
	one    preparedFrame
	encode func(Variant) (Message, error) // nil if all variants use one
	each   []*preparedFrame               // by variant
}

// preparedFrame is the frame of a message, or the error of making it.
type preparedFrame struct {
	once  sync.Once
	frame []byte
	err   error

	// replacement is the frame for InvalidUTF8Replace of a text that is not valid UTF-8, made
	// once; nil for all other messages.
	replacement *preparedFrame

	size       int  // of the payload
	plain      bool // Message.NoCompression
	compress   sync.Once
	compressed []byte // equal to frame if compression does not make it shorter
}

// Prepare prepares a message that is the same in all variants. It copies the payload. If
// the message can't be sent, each send returns the error: ErrMessageType, or ErrInvalidUTF8
// for a text that is not valid UTF-8, unless [InvalidUTF8Replace] is set. The text is checked
// here, and replaced at most once.
func Prepare(m Message) *Prepared {
	p := &Prepared{}
	p.one.set(m)
	return p
}

// PrepareJSON prepares a text message with v in JSON. It returns the error of json.Marshal.
func PrepareJSON(v any) (*Prepared, error) {
	text, err := marshalJSON(v)
	if err != nil {
		return nil, err
	}
	return Prepare(Message{Type: TextMessage, Payload: text}), nil
}

func marshalJSON(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("wsmanager: encoding JSON: %w", err)
	}
	return text, nil
}

// PrepareFunc prepares a message with a format for each variant. encode is called at most
// once for each variant, by the first send that needs it and under no lock. Its result must
// not depend on the time of the call. Sends to one connection return its error. Broadcasts
// count each receiver of that variant as Dropped.
//
// With a backplane, encode is called for all variants, because other nodes may use them. It
// must return an error for a variant that it does not know.
func PrepareFunc(encode func(Variant) (Message, error)) *Prepared {
	p := &Prepared{encode: encode, each: make([]*preparedFrame, MaxVariants)}
	for v := range p.each {
		p.each[v] = &preparedFrame{}
	}
	return p
}

func (f *preparedFrame) set(m Message) {
	if f.err = checkType(m); f.err != nil {
		return
	}
	f.frame = frame.Append(make([]byte, 0, frame.Size(len(m.Payload))), ws.OpCode(m.Type), m.Payload)
	f.size, f.plain = len(m.Payload), m.NoCompression
	if m.Type == TextMessage && !utf8.Valid(m.Payload) {
		f.replacement = &preparedFrame{}
	}
}

// message returns the message that the frame was made from. Its payload is a part of the frame.
func (f *preparedFrame) message() Message {
	return Message{Type: MessageType(f.frame[0] & 0x0f), Payload: f.frame[len(f.frame)-f.size:], NoCompression: f.plain}
}

var errEncodePanicked = errors.New("wsmanager: PrepareFunc's function panicked")

// sendable returns the frame of a variant that a Manager with this policy sends. It returns
// ErrMessageTooBig if the frame is longer than limit.
func (p *Prepared) sendable(v Variant, limit int, policy InvalidUTF8) (*preparedFrame, error) {
	f := p.forVariant(v)
	if r := f.replacement; r != nil {
		if policy != InvalidUTF8Replace {
			return nil, ErrInvalidUTF8
		}
		r.once.Do(func() {
			m, err := policy.text(f.message())
			if r.err = err; err == nil {
				r.set(m)
			}
		})
		f = r
	}
	switch {
	case f.err != nil:
		return nil, f.err
	case len(f.frame) > limit:
		return nil, ErrMessageTooBig
	}
	return f, nil
}

// deflated returns the compressed frame. The first call makes it.
func (f *preparedFrame) deflated(cp *compressor) []byte {
	f.compress.Do(func() {
		m := f.message()
		buf := frame.GetBuffer()
		defer frame.PutBuffer(buf)
		var ok bool
		if *buf, ok = cp.append(*buf, m.Type, m.Payload); ok {
			f.compressed = bytes.Clone(*buf)
		} else {
			f.compressed = f.frame
		}
	})
	return f.compressed
}

// forVariant returns the frame of a variant. The first call makes it.
func (p *Prepared) forVariant(v Variant) *preparedFrame {
	f := &p.one
	if p.encode != nil {
		f = p.each[v]
		f.once.Do(func() {
			f.err = errEncodePanicked // remains if encode panics
			m, err := p.encode(v)
			if err != nil {
				f.err = inContext(fmt.Sprintf("encoding variant %d", v), err)
				return
			}
			f.set(m)
		})
	}
	return f
}

// frame returns the unmasked frame in an encoding. limit is that of the plain frame.
func (p *Prepared) frame(e broadcast.Encoding, cp *compressor, limit int, policy InvalidUTF8) ([]byte, error) {
	f, err := p.sendable(Variant(e.Variant()), limit, policy)
	if err != nil {
		return nil, err
	}
	if e.Deflate() && !f.plain && cp.wants(f.size) {
		return f.deflated(cp), nil
	}
	return f.frame, nil
}
